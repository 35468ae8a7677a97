"""Names, did-you-mean, duplicates, and that looking does not import torch."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
from fracbench import registry
from fracbench.errors import InputError


def test_unknown_names_get_the_nearest_one_and_the_command_to_type() -> None:
    with pytest.raises(InputError, match=r"unknown attack 'pdg'\. Did you mean 'pgd'\? See `fracbench list attacks`"):
        registry.load("attacks", "pdg")
    with pytest.raises(InputError, match=r"unknown kind 'atacks'\. Did you mean 'attacks'"):
        registry.names("atacks")


def test_the_decorator_registers_and_refuses_duplicates() -> None:
    @registry.register("metrics", "mine")
    class Mine:
        pass

    try:
        assert registry.load("metrics", "mine") is Mine and "mine" in registry.names("metrics")
        with pytest.raises(InputError, match="registered already"):
            registry.register("metrics", "mine")(Mine)
        with pytest.raises(InputError, match="registered already"):
            registry.register("metrics", "auc")(Mine)
    finally:
        registry.unregister("metrics", "mine")
    assert "mine" not in registry.names("metrics")


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("pgd", f"{where}:PGD", "fracbench.attacks") for where in ("one", "two")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(InputError, match=r"two packages register attack 'pgd'.*uninstall one"):
        registry.names("attacks")


def test_a_plugin_that_cannot_be_imported_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("x", "no_such_module:X", group)])
    with pytest.raises(InputError, match=r"attack 'x' .* cannot be imported: ModuleNotFoundError"):
        registry.load("attacks", "x")


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("pgd", {"step": 3}, r"has no parameter 'step'\. Did you mean 'steps'\?"),
        ("pgd", {"steps": "many"}, r"steps is 'many'; it should be a valid integer"),
        ("pgd", {"steps": True}, r"steps is True; it should be a valid integer"),
        ("pgd", {"steps": 0}, r"'pgd': steps is 0; it must be at least 1"),
        ("pgd", {"rel_step_size": -1}, r"'pgd': rel_step_size is -1; it must be positive and finite"),
        ("fmn", {"gamma": 2}, r"'fmn': gamma is 2; it must lie between 0.001 and 0.999"),
        ("adaptive", {"momentum": float("nan")}, r"momentum is nan; it must lie between 0 and 1"),
        ("pgd", {"rel_step_size": [1]}, r"rel_step_size is \[1\]; it should be a valid number"),
        ("transfer", {}, r"'transfer' needs the parameter 'sources'"),
        ("transfer", {"sources": {"phantom-resnet-standart": "0" * 64}}, r"Did you mean 'phantom-resnet-standard'"),
        ("transfer", {"sources": {"phantom-resnet-standard": "0" * 64}}, r"have sha256 [0-9a-f]{64}, not '0{64}'"),
        ("autoattack", {"version": "standard"}, r"there is no version 'standard'; write aa-binary-v1"),
    ],
)
def test_parameters_that_cannot_be_are_one_line(name: str, params: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said) as fault:
        registry.make("attacks", name, params)
    assert len(fault.value.faults) == 1 and "Error" not in str(fault.value)


@pytest.mark.parametrize(
    "code",
    [
        "import fracbench",
        "import fracbench, fracbench.registry, fracbench.schema, fracbench.specs, fracbench.summary, fracbench.store",
        "from fracbench.cli import main; main(['list'], standalone_mode=False)",
        "from fracbench.cli import main; main(['--help'], standalone_mode=False)",
        "from fracbench.cli import main; main(['run', '--help'], standalone_mode=False)",
        "from fracbench.cli import main; main(['validate', 'phantom-resnet-standard'], standalone_mode=False)",
    ],
)
def test_looking_does_not_import_torch(code: str) -> None:
    ends = "except SystemExit as e:\n    assert not e.code\nassert 'torch' not in sys.modules"
    script = f"import sys\ntry:\n    {code}\n{ends}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
