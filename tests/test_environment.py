"""What determines the numbers is in a run's identity, and no device is guessed."""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fracbench import environment
from fracbench.errors import InputError
from fracbench.resolving import resolve
from worlds import registered, spec

PACKAGE = """\
import torch
class Net(torch.nn.Module):
    def forward(self, images):
        return images.flatten(1)[:, :2] * {factor}
"""


@pytest.mark.parametrize("asked, says", [("gpu", "unknown device 'gpu'"), ("mps", "unknown device 'mps'")])
def test_unknown_devices_are_refused(asked: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        environment.pick_device(asked)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_cuda_is_refused_where_there_is_none() -> None:
    assert environment.pick_device("auto") == "cpu"
    with pytest.raises(InputError, match="no CUDA device; use --device cpu or auto"):
        environment.pick_device("cuda")


@pytest.mark.usefixtures("blobs")
def test_a_changed_model_package_is_another_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made_models").mkdir()
    codes = []
    for factor in (1, 2):
        (tmp_path / "made_models" / "__init__.py").write_text(PACKAGE.format(factor=factor))
        sys.modules.pop("made_models", None)
        environment._code_hash.cache_clear()
        net = importlib.import_module("made_models").Net
        with registered(made=("models", net)):
            codes.append(environment.environment(resolve(spec()), "cpu", "made")["code"])
    environment._code_hash.cache_clear()
    assert codes[0] != codes[1]


HELD = """
import os, torch
from fracbench import environment
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
{prepare}
before = resident()
block = torch.ones(64, 1024, 1024)
del block
print((resident() - before) / 2**28)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes the allocator of glibc")
@pytest.mark.parametrize("prepare, share", [("", 0), ("environment.prepare('cpu')", 1)])
def test_freed_memory_is_kept_for_the_next_pass(prepare: str, share: float) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELD.format(prepare=prepare)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(share, abs=0.1)
