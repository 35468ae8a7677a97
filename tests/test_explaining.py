"""What a run makes of explanations beyond their scores: given maps, stability, the attack on them, sharing, memory."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from fracbench import registry
from fracbench.models import guard
from fracbench.resolving import resolve
from fracbench.robustness import Aimed, craft
from fracbench.run_record import record_of
from fracbench.runner import Outcome, evaluate_model
from fracbench.schema import ThreatModel
from fracbench.summary import summarise
from fracbench.testing import TinyNet
from fracbench.threat import distance
from torch import Tensor, nn
from worlds import ENV, FIELDS, Bright, spec

pytestmark = pytest.mark.usefixtures("blobs")

EXPLANATION = {"explanation_attack": {"name": "explanation", "params": {"steps": 5}}}


def outcome(model: nn.Module, **changes: Any) -> Outcome:
    found = evaluate_model(guard(model.eval(), 32), resolve(spec(**changes)), "cpu")
    assert not found.failed, found.failed[0]["traceback"]
    return found


def row(model: nn.Module, **changes: Any) -> dict[str, Any]:
    found = outcome(model, **changes)
    return summarise(record_of(FIELDS, resolve(spec(**changes)), found, ENV, "id"), found.tables)


def test_an_attack_on_explanations_moves_them_and_leaves_robustness_alone() -> None:
    panel = {"panel": ["saliency"]}
    bare, aimed = row(Bright(), **panel), row(Bright(), **panel, **EXPLANATION)
    same = ("robust", "clean", "curve", "headline", "adversarial_epsilon", "flags")
    assert all(bare[name] == aimed[name] for name in same) and bare["robust_alignment"] is None
    found = aimed["robust_alignment"]
    assert found["attempted"] == aimed["n"]["annotated"] and 0 < found["n"] <= found["attempted"]
    assert found["clean"]["n"] == found["attacked"]["n"] == found["n"], "the same images before and after"
    assert found["attacked"]["value"] <= found["clean"]["value"]
    assert aimed["stability"]["saliency"]["explanation"]["rank_correlation"]["n"] == found["n"]
    assert "explanation" not in aimed["stability"]["centre"], "only the panel is attacked"


@pytest.mark.parametrize("norm, epsilon", [("linf", 0.02), ("l2", 0.5)])
@pytest.mark.parametrize("masked", [True, False])
def test_it_stays_in_the_ball_and_takes_the_gradient_off(norm: Any, epsilon: float, masked: bool) -> None:
    torch.manual_seed(0)
    model = guard(TinyNet().eval(), 32)
    images, labels = torch.rand(6, 1, 32, 32), torch.tensor([0, 1] * 3)
    masks = torch.zeros(6, 32, 32, dtype=torch.bool)
    masks[:, 8:16, 8:16] = True
    attack, threat = registry.make("attacks", "explanation", {"steps": 20}), ThreatModel(norm, epsilon)
    made = craft(model, Aimed(attack, masks) if masked else attack, images, labels, threat, torch.Generator())
    assert (distance(images, made.images, norm) <= epsilon * (1 + 1e-4)).all()
    clean, after = (model.network(of).argmax(1) for of in (images, made.images))
    assert torch.equal(clean, after), "the answers stay"

    def share(of: Tensor) -> Tensor:
        given = of.clone().requires_grad_(True)
        logits = model.network(given)
        (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), given)
        size = gradient.abs()[:, 0]
        return (size * masks).sum((1, 2)) / size.sum((1, 2))

    if masked:
        assert (share(made.images) < share(images)).all()


def test_networks_with_fused_attention_are_attacked_too() -> None:
    torch.manual_seed(0)
    options = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 2}
    network = registry.make("models", "timm", {"architecture": "vit_tiny_patch16_224", "options": options}).eval()
    images, masks = torch.rand(2, 1, 32, 32), torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[:, 8:16, 8:16] = True
    attack = Aimed(registry.make("attacks", "explanation", {"steps": 3}), masks)
    made = craft(guard(network, 32), attack, images, torch.tensor([0, 1]), ThreatModel("linf", 0.02), torch.Generator())
    assert (made.images != images).any()


ACTIVATIONS: dict[str, nn.Module | Any] = {
    "relu": nn.ReLU(), "relu in place": nn.ReLU(inplace=True), "relu6": nn.ReLU6(), "leaky": nn.LeakyReLU(0.1),
    "prelu": nn.PReLU(8), "hardtanh": nn.Hardtanh(), "clamp": lambda x: x.clamp(0, 1), "abs": torch.abs,
    "clamp_min": lambda x: torch.clamp_min(x, 0.0), "gelu": nn.GELU(), "silu": nn.SiLU(),
}  # fmt: skip


class Plain(nn.Module):
    """Two convolutions with an activation between."""

    def __init__(self, activation: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 8, 5), nn.Conv2d(8, 8, 5)
        self.activation, self.head = activation, nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.activation(self.second(self.activation(self.first(images)))).square().mean((2, 3)) * 20)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_straight_pieces_hide_no_direction(name: str) -> None:
    images, masks = torch.rand(4, 1, 32, 32), torch.zeros(4, 32, 32, dtype=torch.bool)
    masks[:, 8:16, 8:16] = True
    attack = Aimed(registry.make("attacks", "explanation", {"steps": 15}), masks)
    made, small = (
        craft(guard(Plain(ACTIVATIONS[name]).eval(), 32, micro_batch=size), attack, images, torch.ones(4).long(),
              ThreatModel("linf", 0.02), torch.Generator().manual_seed(0)).images
        for size in (4, 2)
    )  # fmt: skip
    assert ((made - images).abs().amax((1, 2, 3)) > 0.015).all(), "it moved"
    assert (made - small).abs().max() < 0.005, "in slices that are recomputed it goes the same way"


def test_a_gradient_that_leads_nowhere_is_told_and_unranks_nothing() -> None:
    flat = Plain(lambda x: x).eval()
    flat.forward = lambda x: flat.head(flat.second(flat.first(x)).mean((2, 3)))  # type: ignore[method-assign]
    job = resolve(spec(**EXPLANATION, panel=["saliency"]))
    found = evaluate_model(guard(flat, 32), job, "cpu")
    cells = {(c["kind"], c["status"]) for c in found.cells if c["attack"] == "explanation"}
    assert cells == {("explanation", "unsupported"), ("explain", "unsupported")} and not found.failed
    summary = summarise(record_of(FIELDS, job, found, ENV, "id"), found.tables)
    assert summary["robust_alignment"] is None and "saliency is not supported" not in summary["unranked_because"]


def test_images_whose_answer_changed_are_left_out() -> None:
    class Flips:
        """Returns images that every other one of is answered otherwise."""

        keeps_prediction = True
        passes = (0, 0)

        def __call__(self, model: Any, images: Tensor, *given: Any, generator: Any, masks: Tensor) -> Tensor:
            assert masks.shape == images[:, 0].shape and masks.any()
            changed = images.clone()
            changed[::2] = 0
            return changed

    registry.register("attacks", "flips")(Flips)
    threat = {"norm": "linf", "epsilon": "120/255"}
    try:
        found = row(Bright(), explanation_attack={"name": "flips"}, threat=threat, attacks=[{"name": "fgsm"}])
    finally:
        registry.unregister("attacks", "flips")
    aimed = found["robust_alignment"]
    assert 0 < aimed["n"] < aimed["attempted"]


def test_given_maps_stand_beside_explainers() -> None:
    found = row(Bright(), given=["reader", "mean_mask"])
    reader, mean = (found["alignment"][name]["relevance_rank_accuracy"]["clean"] for name in ("reader", "mean_mask"))
    centre = found["alignment"]["centre"]["relevance_rank_accuracy"]["clean"]
    assert reader["n"] == mean["n"] == centre["n"] and reader["calibrated"] > 0.3 > mean["calibrated"]
    record = outcome(Bright(), given=["reader"]).cells
    (notes,) = {cell["notes"]["reader"] for cell in record if cell["explainer"] == "reader"}
    assert "for want of a second annotator" in notes


def test_without_annotated_training_images_there_is_no_mean_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    job = resolve(spec(given=["mean_mask"]))
    monkeypatch.setattr(type(job.dataset), "splits", ("test",))
    found = evaluate_model(guard(Bright().eval(), 32), job, "cpu")
    states = {(c["status"], c["error"]) for c in found.cells if c["explainer"] == "mean_mask"}
    assert states == {("unsupported", "the dataset has no annotated training images")}


def test_outcomes_part_the_attacked_images() -> None:
    found = row(Bright())
    parts = {name: of["saliency"]["hit"] for name, of in found["alignment_by_outcome"].items()}
    for attack in ("fgsm", "autoattack"):
        counts = [parts[name].get(attack, {"n": 0})["n"] for name in ("survived", "flipped")]
        assert sum(counts) == parts["true_positives"]["clean"]["n"], "of the images that are right without attack"
    assert found["spread"]["normal"]["saliency"]["concentration"]["n"] == found["n"]["normal"]


def test_explainers_share_one_backward_pass_and_models_share_nothing() -> None:
    both = {"explainers": [{"name": "saliency"}, {"name": "input_x_gradient"}], "panel": ["saliency"]}
    first = outcome(Bright(), **both)
    cost = {(c["explainer"], c["attack"]): c["backward"] for c in first.cells if c["kind"] == "explain"}
    assert cost["saliency", "clean"] > 0 and cost["input_x_gradient", "clean"] == 0
    assert cost["saliency", "fgsm"] > 0 and cost["input_x_gradient", "fgsm"] == 0
    torch.manual_seed(0)
    other, alone = TinyNet(), {"explainers": [{"name": "input_x_gradient"}], "panel": ["input_x_gradient"]}
    after, single = outcome(other, **both), outcome(other, **alone)
    key = ["image", "attack", "explainer"]
    wanted = single.tables["alignment"].set_index(key)
    pd.testing.assert_frame_equal(after.tables["alignment"].set_index(key).loc[wanted.index, ["auc"]], wanted[["auc"]])
