"""The rule that fixes a reference epsilon, on made curves."""

from __future__ import annotations

import pytest
import reference_epsilon
from fracbench import recipes, specs
from fracbench.schema import PluginRef
from reference_epsilon import chosen

RUNGS = ("1/255", "2/255", "4/255")


@pytest.mark.parametrize(
    "curves, epsilon",
    [
        ({"a": {"clean": 0.9, "1/255": 0.7, "2/255": 0.6, "4/255": 0.59}, "b": {"clean": 0.9, "1/255": 0.5}}, "2/255"),
        ({"a": {"clean": 0.9, "1/255": 0.59}, "b": {"clean": 0.8, "1/255": 0.61, "2/255": 0.2}}, "1/255"),
        ({"a": {"clean": 0.9, "1/255": 0.59}}, "1/255"),
        ({"a": {"clean": 0.9, "1/255": 0.8, "2/255": 0.7, "4/255": 0.6}}, "4/255"),
    ],
    ids=["the largest that some starter keeps", "another starter's", "the smallest where none is kept", "the last"],
)
def test_the_epsilon_is_the_largest_rung_kept(curves: dict[str, dict[str, float]], epsilon: str) -> None:
    assert chosen(curves, RUNGS) == epsilon


@pytest.mark.parametrize("kept, unused", [(10, True), (20, False)], ids=["others are left", "all chose epochs"])
def test_images_that_chose_an_epoch_are_left_out_where_there_are_others(
    kept: int, unused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard = recipes.load("standard")
    by = standard.model_copy(update={"dataset": PluginRef(name="phantom", params={"val": kept})})
    monkeypatch.setattr(recipes, "load", lambda _: by)
    spec = specs.load("phantom-v1").model_copy(update={"dataset": PluginRef(name="phantom", params={"val": 20})})
    job, said = reference_epsilon.on_validation(spec, 5, None, ["standard", "pgd-at"])
    samples = [sample for samples in job.batches for sample in samples]
    assert said == unused and sorted(sample.label for sample in samples) == [0] * 5 + [1] * 5
    assert all(int(sample.id.removeprefix("val-")) >= (10 if unused else 0) for sample in samples)
    monkeypatch.undo()
    assert reference_epsilon.on_validation(spec, 5, None, ["fracatlas-standard"])[1]


@pytest.mark.parametrize("name", ["nosuch", "always-fracture", "phantom-resnet-trades"])
def test_what_does_not_enter_the_spec_is_not_measured(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reference_epsilon.py", "phantom-v1", "--starter", name])
    with pytest.raises(SystemExit) as stopped:
        reference_epsilon.main()
    assert stopped.value.code == 2 and f"no starter of phantom-v1: {name}" in capsys.readouterr().err
