"""What can be refused before a run is refused before a run, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fracbench import resolving
from fracbench.errors import InputError
from fracbench.resolving import resolve
from worlds import registered, spec

pytestmark = pytest.mark.usefixtures("blobs")


class Mute:
    """Declares nothing."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        return given


class Signed(Mute):
    sign = "postive"
    passes = (0, 0)


class Thing:
    name, higher_is_better, passes = "thing", True, (0, 0)


@pytest.fixture
def mute() -> Iterator[None]:
    names = {"mute": "explainers", "silent": "attacks", "dumb": "metrics"}
    with registered(**{name: (kind, Mute) for name, kind in names.items()}):
        yield


def test_every_plugin_that_lacks_what_it_has_to_declare_is_a_line(mute: None) -> None:
    names = {"explainers": "mute", "attacks": "silent"}
    changes = {kind: [*map(dict, spec().model_dump()[kind]), {"name": name}] for kind, name in names.items()}
    with pytest.raises(InputError) as fault:
        resolve(spec(**changes, metrics=["auc", "dumb"]))
    assert fault.value.faults == [
        "attack 'silent': Mute lacks passes; see fracbench/contracts.py",
        "explainer 'mute': Mute lacks sign and passes; see fracbench/contracts.py",
        "metric 'dumb': Mute lacks name and higher_is_better; see fracbench/contracts.py",
    ]


def test_a_sign_that_is_none_and_a_plugin_that_cannot_be_called() -> None:
    with registered(signed=("explainers", Signed), thing=("metrics", Thing)), pytest.raises(InputError) as fault:
        resolve(spec(explainers=[{"name": "signed"}], panel=["signed"], metrics=["thing"]))
    assert fault.value.faults == [
        "explainer 'signed': Signed has the sign 'postive'; write positive or absolute",
        "metric 'thing': Thing cannot be called; give it __call__",
    ]


def test_a_backend_that_is_none() -> None:
    with pytest.raises(InputError, match="Did you mean 'quantus'"):
        resolve(spec(), metrics_backend="quantum")  # type: ignore[arg-type]


def test_more_cells_than_a_run_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    job = resolve(spec())
    cells = sum(len(job.cells(batch)) for batch in range(len(job.batches)))
    monkeypatch.setattr(resolving, "MOST_CELLS", cells)
    resolve(spec())
    monkeypatch.setattr(resolving, "MOST_CELLS", cells - 1)
    with pytest.raises(InputError, match=f"set its logical_batch to {2 * spec().logical_batch} or more"):
        resolve(spec())
