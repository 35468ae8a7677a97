"""Every registered attack, against closed forms and against pyautoattack itself."""

from __future__ import annotations

import parity
import pytest
import torch
from analytic import Linear, SmallNet, linear_world
from fracbench import registry
from fracbench.contracts import Attack, label_margin
from fracbench.errors import InputError
from fracbench.models import guard
from fracbench.robustness import craft, norms_of
from fracbench.schema import ThreatModel
from fracbench.threat import distance
from test_plugins import NEEDED

SMALL: dict[str, dict[str, int]] = {
    "autoattack": {"apgd_ce_steps": 10, "apgd_margin_steps": 10, "fab_steps": 10, "square_queries": 50},
    "square": {"queries": 50},
    "cw-l2": {"steps": 60},
    "fgsm": {},
}
ADVERSARIAL = [
    name for name in registry.names("attacks") if "l2" in getattr(registry.load("attacks", name), "norms", ["l2"])
]
KEEPS = [name for name in ADVERSARIAL if hasattr(registry.load("attacks", name), "keeps_prediction")]
WHITE_BOX = [n for n in ADVERSARIAL if n not in KEEPS and not hasattr(registry.load("attacks", n), "black_box")]
LINF = ThreatModel("linf", 0.01)


def build(name: str) -> Attack:
    return registry.make("attacks", name, SMALL.get(name, {"steps": 20}) | NEEDED.get(name, {}))


def knows(name: str, norm: str) -> bool:
    return norm in norms_of(build(name))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


BALLS = [ThreatModel("linf", e) for e in (0.001, 0.004, 0.02)]
BALLS += [ThreatModel("l2", e) for e in (0.02, 0.1, 0.5)]


@pytest.mark.parametrize("name", WHITE_BOX)
@pytest.mark.parametrize("threat", BALLS, ids=lambda threat: f"{threat.norm}-{threat.epsilon}")
def test_white_box_attacks_reach_the_closed_form(name: str, threat: ThreatModel) -> None:
    if not knows(name, threat.norm):
        pytest.skip(f"{name} does not know {threat.norm}")
    model, x, labels, margin = linear_world(250, 25)
    dual = model.weight.abs().sum() if threat.norm == "linf" else model.weight.norm()
    truth = margin > threat.epsilon * dual
    crafted = craft(model, build(name), x, labels, threat, rng())
    assert (crafted.robust | ~truth).all(), "nothing that cannot be broken is broken"
    assert abs(float(crafted.robust.float().mean() - truth.float().mean())) <= 0.01


def test_a_norm_that_an_attack_does_not_know_is_refused_before_it_runs() -> None:
    model, x, labels, _ = linear_world(10, 1)
    for name, norm, known in (("cw-l2", "linf", "l2"), ("jpeg", "linf", "corruptions"), ("pgd", "corruptions", "linf")):
        threat = ThreatModel(norm, 1 if norm == "corruptions" else 0.01)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=f"does not know {norm} .it knows {known}"):
            craft(model, registry.make("attacks", name, {}), x, labels, threat, rng())


@pytest.mark.parametrize("name", [name for name in WHITE_BOX if getattr(build(name), "minimal_norm", False)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_minimal_norm_attacks_know_the_distance_of_the_boundary(name: str, norm: str) -> None:
    if not knows(name, norm):
        pytest.skip(f"{name} does not know {norm}")
    model, x, labels, margin = linear_world()
    truth = margin.clamp_min(0) / (model.weight.abs().sum() if norm == "linf" else model.weight.norm())
    threat = ThreatModel(norm, 0.01 if norm == "linf" else 0.2)  # type: ignore[arg-type]
    found = craft(model, build(name), x, labels, threat, rng()).adversarial_distance
    assert torch.equal(found == 0, margin <= 0) and found.isfinite().all()
    far = truth > threat.epsilon / 10
    assert (found >= truth * (1 - 1e-3))[far].all() and (found <= truth * 1.1)[far].all()
    assert float((found / truth)[far].median()) < 1.02


def test_an_ordinary_attack_knows_the_distance_of_what_it_broke_and_no_other() -> None:
    model, x, labels, _ = linear_world()
    crafted = craft(model, build("pgd"), x, labels, LINF, rng())
    wrong = model(x).argmax(1) != labels
    broken = ~crafted.robust & ~wrong
    assert torch.equal(crafted.adversarial_distance[broken], crafted.distance[broken])
    assert crafted.adversarial_distance[crafted.robust].isinf().all()
    assert not crafted.adversarial_distance[wrong].any()


def test_linf_optimum_of_a_linear_model_is_the_sign_step() -> None:
    model, x, labels, _ = linear_world()
    threat = LINF
    crafted = craft(model, build("fgsm"), x, labels, threat, rng())
    direction = torch.where(labels == 1, 1, -1).view(-1, 1, 1, 1)
    assert torch.allclose(crafted.images, x - 0.01 * direction * model.weight.sign(), atol=1e-6)


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attempts_stay_inside_and_are_attempts_for_every_image(name: str, norm: str) -> None:
    if not knows(name, norm):
        pytest.skip(f"{name} does not know {norm}")
    model, x = SmallNet().eval(), torch.rand(12, 1, 16, 16, generator=rng(3))
    labels = model(x).argmax(1)
    labels[:3] = 1 - labels[:3]  # misclassified images are attacked too
    threat = ThreatModel(norm, 0.02 if norm == "linf" else 0.3)  # type: ignore[arg-type]
    crafted = craft(model, build(name), x, labels, threat, rng())
    assert crafted.images.min() >= 0 and crafted.images.max() <= 1
    assert (distance(x, crafted.images, norm) <= threat.epsilon + 1e-6).all()
    assert (crafted.distance > 0).all(), "the clean image is no attempt"


@pytest.mark.parametrize("name", ["pgd", "autoattack"])
def test_survivors_are_real_attempts(name: str) -> None:
    model, x, labels, margin = linear_world()
    crafted = craft(model, build(name), x, labels, ThreatModel("linf", 0.004), rng())
    survivors = crafted.robust
    assert survivors.sum() >= 20
    assert (crafted.margin < margin)[survivors].float().mean() >= 0.95


@pytest.mark.parametrize("part", parity.PARTS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_parts_have_the_flags_of_pyautoattack_called_directly(part: str, norm: str) -> None:
    model = SmallNet().eval()
    x = torch.rand(64, 1, 16, 16, generator=rng(5))
    labels = (label_margin(model(x), torch.ones(64).long()) > 0).long()
    cut = label_margin(model(x), torch.ones(64).long()).median()
    model.head.bias.data[0] += cut.detach()  # both classes are predicted
    labels = model(x).argmax(1)
    labels[::9] = 1 - labels[::9]
    threat = ThreatModel(norm, 0.01 if norm == "linf" else 0.15)  # type: ignore[arg-type]
    ours = registry.make("attacks", part, {"queries": 60} if part == "square" else {"steps": 12})
    crafted = craft(model, ours, x, labels, threat, rng(7))
    seed = int(torch.randint(2**31, (1,), generator=rng(7)))
    budget = 60 if part == "square" else 12
    robust = parity.direct_flags(parity.direct(part, model, threat, budget, seed), model, x, labels)
    assert torch.equal(crafted.robust, robust)
    assert 0 < robust.sum() < (model(x).argmax(1) == labels).sum(), "the case must break some and spare some"


def test_margin_attack_does_not_care_for_the_scale_of_logits() -> None:
    model, x, labels, margin = linear_world()
    loud = Linear(model.weight.detach(), model.bias, scale=1e5)
    threat = LINF
    truth = margin > 0.01 * model.weight.abs().sum()
    assert torch.equal(craft(loud, build("apgd-margin"), x, labels, threat, rng()).robust, truth)
    assert torch.equal(craft(loud, build("pgd"), x, labels, threat, rng()).robust, truth)


def test_ensemble_takes_the_worst_part_per_image() -> None:
    model, x, labels, _ = linear_world()
    crafted = craft(model, build("autoattack"), x, labels, ThreatModel("linf", 0.006), rng())
    lowest = torch.stack([part.margin.nan_to_num(torch.inf) for part in crafted.parts.values()]).amin(0)
    assert torch.equal(crafted.margin, lowest)
    assert torch.equal(crafted.robust, torch.stack([p.robust for p in crafted.parts.values()]).all(0))
    assert set(crafted.part) <= set(crafted.parts)


def test_parts_of_an_ensemble_attempt_what_is_left() -> None:
    model, x, labels, _ = linear_world()
    labels[::7] = 1 - labels[::7]
    correct = label_margin(model(x), labels) > 0
    guarded = guard(model, x.shape[-1])
    crafted = craft(guarded, build("autoattack"), x, labels, ThreatModel("linf", 0.006), rng())
    first, second, fab, square = crafted.parts.values()
    assert first.attempted.all() and torch.equal(fab.attempted, correct)
    assert torch.equal(second.attempted, first.robust) and 0 < first.robust.sum() < correct.sum()
    assert torch.equal(square.attempted, first.robust & second.robust & fab.robust)
    for part in crafted.parts.values():
        for values in (part.margin, part.distance, part.adversarial_distance, part.images.flatten(1).sum(1)):
            assert torch.equal(values.isnan(), ~part.attempted)
        assert not part.robust[~part.attempted].any()
    assert crafted.images.isfinite().all() and crafted.margin.isfinite().all() and crafted.attempted.all()
    alone = craft(model, crafted_by("fab"), x, labels, ThreatModel("linf", 0.006), rng()).adversarial_distance
    assert (crafted.adversarial_distance <= alone * 1.01 + 1e-6)[correct].float().mean() > 0.9
    referee = 2 * (1 + 1)  # predictions of the clean images, and of the attempts of one part
    spent = guarded.passes.forward / len(x)
    assert spent < sum(of.passes[0] for of in build("autoattack").parts.values()) + referee


def crafted_by(part: str) -> Attack:
    return build("autoattack").parts[part]


def test_nothing_is_left_of_a_model_that_the_first_part_breaks() -> None:
    model, x, labels, _ = linear_world()
    crafted = craft(model, build("autoattack"), x, labels, ThreatModel("linf", 0.5), rng())
    assert not crafted.robust.any() and set(crafted.part) <= {"apgd-ce", "fab"}
    assert not crafted.parts["square"].attempted.any() and crafted.parts["square"].spent.forward == 0
