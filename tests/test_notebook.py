"""``fracbench.evaluate`` from Python, on any torch module."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import fracbench
import pandas as pd
import pytest
import torch
from conftest import Command
from fracbench.board import read_board
from fracbench.errors import InputError
from fracbench.schema import PluginRef
from fracbench.store import find_results
from fracbench.testing import TinyNet
from worlds import registered


def test_a_module_is_evaluated_saved_and_left_as_it_was(tmp_path: Path) -> None:
    network = TinyNet().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    result = fracbench.evaluate(network, "smoke", limit=8, budget=0.5, name="tiny-net")
    assert network.training and all(p.requires_grad and p.grad is None for p in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert set(result.predictions.attack) == {"clean", "fgsm", "pgd", "autoattack", "apgd-margin", "explanation"}
    assert len(result.alignment[result.alignment.attack == "clean"]) == 8 * 9, "8 images by 8 explainers and the reader"
    assert result.summary["custom"] and result.summary["unranked_because"] == ["custom run"]
    assert repr(result).startswith("<fracbench.Result tiny-net on smoke-custom: headline 0.") and "\n" not in repr(
        result
    )
    path = result.save(tmp_path / "results")
    (found,) = find_results(tmp_path / "nothing", tmp_path / "results")
    assert found.path == path and found.submission == "tiny-net" and not found.self_reported


def test_a_name_that_is_no_folder_name_is_refused() -> None:
    for name in ("../evil", "My Model", ""):
        with pytest.raises(InputError, match="cannot name a submission"):
            fracbench.evaluate(TinyNet(), "smoke", limit=4, name=name)


@pytest.mark.parametrize(
    "attacks, says",
    [
        (["PGD"], "unknown attack 'PGD'. Did you mean 'pgd'?"),
        ([], "attacks must be a list of at least one name"),
        ("pgd", "attacks must be a list of at least one name"),
        ([None], "None is neither a name nor a PluginRef"),
        (["pgd", "pgd"], "'pgd' is listed twice"),
        (["cw-l2"], "attack 'cw-l2' does not know linf (it knows l2); these do: "),
    ],
)
def test_attacks_that_cannot_be_are_one_line(attacks: Any, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as fault:
        fracbench.evaluate(torch.nn.Identity(), "smoke", attacks=attacks)
    assert len(str(fault.value).splitlines()) == 1


def test_a_cell_that_fails_is_told_and_unranks(capsys: pytest.CaptureFixture[str]) -> None:
    class Late(torch.nn.Module):
        """Fails when it is asked for a gradient."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if images.requires_grad and len(images) > 2:
                raise RuntimeError("no gradient here")
            return images.mean((1, 2, 3), keepdim=True).flatten(1) * torch.tensor([[-1.0, 1.0]])

    result = fracbench.evaluate(Late(), "smoke", limit=4, attacks=["fgsm"], explainers=["saliency"])
    shown = capsys.readouterr().err
    assert "no gradient here" in shown and "cells" in shown
    assert "failed cells" in repr(result) and not result.summary["ranked"]
    fracbench.evaluate(TinyNet(), "smoke", limit=2, attacks=["fgsm"], explainers=["saliency"], progress=False)
    assert not capsys.readouterr().err


def test_changed_attacks_and_explainers_make_it_custom() -> None:
    result = fracbench.evaluate(TinyNet(), "smoke", attacks=["fgsm"], explainers=["saliency", "random"])
    assert result.summary["unranked_because"] == ["custom run"] and result.summary["panel"] == ["saliency"]
    assert set(result.alignment.explainer) == {"saliency", "random", "reader"}
    assert result.summary["n"]["images"] == 16


@dataclass(frozen=True)
class OnIt:
    """The largest value on the mask."""

    name: ClassVar[str] = "on_it"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return (maps * masks).amax((1, 2))


def test_a_metric_of_ones_own_is_scored_beside_its_chance_and_ceiling(tmp_path: Path) -> None:
    with registered(on_it=("metrics", OnIt)):
        metrics = ["on_it", "relevance_rank_accuracy"]
        result = fracbench.evaluate(
            TinyNet(), "smoke", limit=4, attacks=["fgsm"], explainers=["centre"], metrics=metrics
        )
    mine = result.summary["alignment"]["centre"]["on_it"]["clean"]
    assert 0 < mine["chance"] <= mine["ceiling"] == 1 and 0 < mine["raw"] < 1 and mine["n"] == 2
    assert result.run["metrics"] == metrics and result.summary["unranked_because"] == ["custom run"]
    result.save(tmp_path)
    assert not read_board(tmp_path / "nothing", tmp_path).broken


def test_quantus_can_score_and_is_named() -> None:
    few = {"limit": 4, "attacks": ["fgsm"], "explainers": ["centre"]}
    ours, theirs = (
        fracbench.evaluate(TinyNet(), "smoke", **few, metrics_backend=by) for by in ("fracbench", "quantus")
    )
    assert ours.summary["metrics_backend"] == "fracbench" and theirs.summary["metrics_backend"] == "quantus"
    assert theirs.summary["unranked_because"] == ["custom run", "scored by Quantus"]
    columns = ["relevance_mass_accuracy", "auc"]
    pd.testing.assert_frame_equal(ours.alignment[columns], theirs.alignment[columns], atol=1e-4)


def test_a_plain_function_and_one_logit_are_models_too() -> None:
    def bright(images: torch.Tensor) -> torch.Tensor:
        return 20 * (images.mean((1, 2, 3)) - 0.3)[:, None]

    result = fracbench.evaluate(bright, "smoke", limit=4, attacks=["fgsm"], explainers=["saliency"])
    assert result.summary["n"]["images"] == 4 and not [c for c in result.run["cells"] if c["status"] == "failed"]


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"benchmark": "smok"}, "Did you mean 'smoke'"),
        ({"attacks": ["fgms"]}, "Did you mean 'fgsm'"),
        ({"attacks": []}, "attacks"),
        ({"attacks": ["explanation"]}, "keeps the answer; name it under explanation_attack"),
        ({"explainers": ["saliency", "saliency"]}, "listed twice"),
        ({"device": "abacus"}, "unknown device"),
        ({"metrics": "auc"}, "metrics must be a list"),
        ({"metrics": ["auk"]}, "Did you mean 'auc'"),
        ({"metrics": ["hit"]}, "'hit' is no metric to choose: every run has it"),
        ({"metrics": [PluginRef(name="top_k_intersection", params={"share": 0.1})]}, "pass its name alone"),
        ({"metrics_backend": "Quantus"}, "Did you mean 'quantus'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        fracbench.evaluate(TinyNet(), **({"benchmark": "smoke"} | arguments))  # type: ignore[arg-type]


def test_a_model_that_breaks_the_contract_is_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match=r"got \(2, 5\)"):
        fracbench.evaluate(lambda images: images.flatten(1)[:, :5], "smoke")


def test_importing_fracbench_is_light(command: Command) -> None:
    import subprocess
    import sys

    code = "import fracbench, sys; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules); fracbench.evaluate"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
