"""The built wheel where no checkout is: specs, starters with weights, types, a run and the first page.

A fresh environment sees this one's installed packages only as far as the wheel declares that it needs them,
without extras: each is linked in by name. So an undeclared dependency fails here as it would for a user.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from browser import cells, opened, require_chromium, served, settle
from conftest import REPOSITORY, STARTERS, Command
from fracbench.submissions import discover
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel made from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def needed(name: str, extras: tuple[str, ...] = (), seen: set[tuple[str, str]] | None = None) -> set[str]:
    """Names of all packages that ``name`` declares it needs, and they in turn."""
    seen = set() if seen is None else seen
    for extra in ("", *extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed(canonicalize_name(requirement.name), tuple(requirement.extras), seen)
    return {package for package, _ in seen}


def link(package: str, place: Path) -> None:
    distribution = metadata.distribution(package)
    tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
    for top in tops:
        if not (place / top).exists():
            (place / top).symlink_to(Path(str(distribution.locate_file(top))))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel and what it declares."""
    folder = tmp_path_factory.mktemp("wheel-env")
    venv.create(folder, with_pip=False)
    (place,) = folder.glob("lib/python*/site-packages")
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", str(wheel)], check=True, capture_output=True)
    for package in sorted(needed("fracbench") - {"fracbench"}):
        link(package, place)
    return folder / "bin" / "python"


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_every_artefact_carries_specs_starters_and_types(built: Path, kind: str) -> None:
    (file,) = built.glob(kind)
    if kind == "*.whl":
        names = set(zipfile.ZipFile(file).namelist())
        starters, package = "fracbench/starters", "fracbench"
    else:
        with tarfile.open(file) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        starters, package = "submissions", "benchmark/fracbench"
    for source in REPOSITORY.glob("submissions/*/submission.yaml"):
        for needed_file in ("submission.yaml", "weights.safetensors", "training.json"):
            assert f"{starters}/{source.parent.name}/{needed_file}" in names
    for source in REPOSITORY.glob("benchmark/fracbench/*/*.yaml"):
        assert f"{package}/{source.parent.name}/{source.name}" in names
    assert len([name for name in names if name.endswith("py.typed")]) == 3
    assert not [name for name in names if "/results/" in name or name.endswith(".parquet")]


def test_the_wheel_runs_in_an_empty_folder(installed: Path, tmp_path: Path, own_cache: Path) -> None:
    require_chromium()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = Command(tmp_path, environment | {"FRACBENCH_CACHE": str(own_cache)}, str(installed))
    asked = [installed, "-c", "import fracbench; print(fracbench.__file__)"]
    where = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert str(installed.parents[1]) in where and str(REPOSITORY) not in where
    missing = subprocess.run([installed, "-c", "import pytest"], capture_output=True)
    assert missing.returncode != 0, "extras must not be visible"
    done = command("run", "phantom-resnet-pgd-at", "--benchmark", "smoke")
    assert done.returncode == 0, done.stderr
    assert [path.parts[-3] for path in tmp_path.glob("results/*/smoke/run.json")] == ["phantom-resnet-pgd-at"]
    listed = command("run", "no-such-starter").stderr  # the refusal names those that there are
    assert all(entry.name in listed for entry in discover(STARTERS, None)), "every starter came with the wheel"
    with served(command.start) as address, opened(address) as page:
        page.wait_for_selector("text=Robustness and alignment")
        settle(page)
        assert any("model=phantom-resnet-pgd-at" in cell for cell in cells(page, 1))
