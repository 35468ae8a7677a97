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
    "code",
    [
        "import fracbench",
        "import fracbench, fracbench.registry, fracbench.schema, fracbench.specs, fracbench.summary, fracbench.store",
        "from fracbench.cli import main; main(['list'], standalone_mode=False)",
        "from fracbench.cli import main; main(['--help'], standalone_mode=False)",
        "from fracbench.cli import main; main(['run', '--help'], standalone_mode=False)",
    ],
)
def test_looking_does_not_import_torch(code: str) -> None:
    ends = "except SystemExit as e:\n    assert not e.code\nassert 'torch' not in sys.modules"
    script = f"import sys\ntry:\n    {code}\n{ends}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
