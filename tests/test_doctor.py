"""What the doctor says of models whose fault is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import STARTERS
from fracbench.apart import Limits, default_memory
from fracbench.doctor import Finding
from fracbench.evaluating import examine
from fracbench.resolving import resolve
from fracbench.specs import load
from fracbench.submissions import discover, load_model
from fracbench.tasks import bind
from safetensors.torch import load_file, save_file
from test_cli import TINY, call, submissions
from torch import nn
from worlds import registered

STARTER = "phantom-resnet-standard"


class Faulty(nn.Module):
    """A good network with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        (entry,) = discover(STARTERS, None, [STARTER])
        self.good = load_model(entry, 128, "cpu", 8).network
        self.fault = fault

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.fault == "range":
            images = images / 255
        logits = self.good(images.detach() if self.fault == "detached" else images)
        if self.fault == "swapped":
            return logits.flip(1)
        if self.fault == "random":
            return logits + torch.randn_like(logits)
        if self.fault == "probabilities":
            return logits.softmax(1)
        if self.fault == "mixes":
            return logits - logits.mean(0, keepdim=True)
        if self.fault == "three":
            return logits[:, [0, 1, 1]]
        if self.fault == "nan":
            return logits * torch.nan
        if self.fault == "crash":
            raise RuntimeError("no such kernel")
        return logits


def findings(folder: Path, text: str) -> dict[str, Finding]:
    (entry,) = discover(submissions(folder, text), None)
    (task,) = bind([entry], resolve(load("smoke")), "cpu")
    found: list[Finding] = []
    examine(task, Limits(default_memory()), found.append)
    return {of.what: of for of in found}


def of_fault(folder: Path, fault: str) -> dict[str, Finding]:
    text = TINY.replace("name: timm", "name: faulty").replace("architecture: resnet18", f"fault: {fault}")
    text = text.replace("    options: {channels: [8, 8, 8, 8], layers: [1, 1, 1, 1]}\n", "")
    with registered(faulty=("models", Faulty)):
        return findings(folder, text)


@pytest.mark.parametrize(
    "fault, status, what, says",
    [
        ("swapped", "fail", "classes", "swap the two logits"),
        ("range", "warn", "classes", "on the same times 255: images come in [0, 1]; normalise inside"),
        ("random", "warn", "deterministic", "answers change from call to call"),
        ("probabilities", "warn", "probabilities", "the outputs are probabilities, not logits"),
        ("detached", "warn", "gradients", "on 8 of 8 images: the row is flagged; look for detach()"),
        ("mixes", "fail", "model", "answers otherwise for an image alone than in a batch"),
        ("three", "fail", "model", "must return logits of shape (batch, 2), got (2, 3)"),
        ("nan", "fail", "model", "non-finite logits"),
        ("crash", "fail", "model", "RuntimeError: no such kernel"),
    ],
)
def test_each_fault_has_its_line(fault: str, status: str, what: str, says: str, tmp_path: Path) -> None:
    found = of_fault(tmp_path, fault)
    assert found[what].status == status and says in found[what].says, found
    if what == "model":
        assert set(found) == {"weights", "model"}, "nothing more can be said of a model that cannot be built"
    others = {name for name, of in found.items() if of.status == "fail" and name != what}
    assert not others


def test_a_good_starter_passes_everywhere(tmp_path: Path) -> None:
    (entry,) = discover(STARTERS, None, [STARTER])
    (task,) = bind([entry], resolve(load("smoke")), "cpu")
    found: list[Finding] = []
    examine(task, Limits(default_memory()), found.append)
    assert {of.status for of in found} == {"pass"}
    told = {of.what: of.says for of in found}
    assert {"weights", "model", "deterministic", "gradients", "classes", "gradcam", "memory", "time"} == set(told)
    assert "0.31 M parameters" in told["model"], "the network's own, not those of its quicker copy too"
    assert "is as declared" in told["weights"] and "network.layer3" in told["gradcam"]
    assert float(told["memory"].split()[1]) > 0 and float(told["classes"].split()[1]) > 0.8


def test_the_command_says_what_to_do_and_its_status_what_it_found(tmp_path: Path) -> None:
    folder = submissions(tmp_path, TINY + "weights: {file: w.safetensors}\n")
    state = load_file(STARTERS / STARTER / "weights.safetensors")
    save_file(state, folder / "tiny" / "w.safetensors")
    result = call("doctor", "tiny", "--benchmark", "smoke", "--submissions", folder)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert "fail  model: " in result.output and "the weights do not fit the model" in result.output
    assert "warn  weights: no sha256 is declared; add  sha256: '" in result.output
    assert "next:" not in result.output
    (folder / "tiny" / "submission.yaml").write_text(TINY)
    result = call("doctor", "tiny", "--benchmark", "smoke", "--submissions", folder)
    assert result.exit_code == 0, result.output
    assert result.output.endswith(f"next: fracbench run tiny --benchmark smoke --submissions {folder}\n")
    assert call("doctor", "tinny", "--submissions", folder).exit_code == 2
