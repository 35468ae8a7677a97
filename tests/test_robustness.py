"""The referee: what it refuses, what it measures, and that the model is left as it was."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from contextlib import nullcontext

import pytest
import torch
from analytic import Linear, SmallNet, images, linear_world
from fracbench.errors import InputError
from fracbench.models import NonFinite, guard
from fracbench.robustness import AttackFault, craft, is_random, zero_gradient
from fracbench.schema import Norm, ThreatModel
from fracbench.threat import distance, project
from fracbench.undisturbed import undisturbed
from test_attacks import ADVERSARIAL, LINF, WHITE_BOX, build, knows, rng


@dataclasses.dataclass(frozen=True)
class Rogue:
    how: str

    @property
    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(self, model, images, labels, threat, *, generator):  # type: ignore[no-untyped-def]
        if self.how == "nan":
            return torch.full_like(images, torch.nan)
        if self.how == "shape":
            return images[:, :, :4]
        if self.how == "raise":
            raise RuntimeError("attack broke")
        if self.how == "values":
            model.network.weight.data.zero_()  # past the count of changes that tensors keep
        if self.how == "parameter":
            model.network.weight = torch.nn.Parameter(torch.zeros_like(model.network.weight))
        if self.how == "network":
            model.network = SmallNet().eval()
        if self.how == "forward":
            model.network.forward = lambda x: torch.zeros(len(x), 2)
        if self.how == "no forward":
            vars(model.network).pop("forward", None)
        if self.how == "hook":
            for name in ("_forward_hooks", "_forward_hooks_with_kwargs"):
                getattr(model.network, name).clear()
        if self.how == "other hooks":
            model.network._forward_hooks = OrderedDict()
        if self.how == "precision":
            model.double()
        if self.how == "weight's shape":
            model.network.weight.data = torch.zeros(1)
        if self.how == "far":
            return images + 0.5 * torch.where(labels == 1, -1, 1).view(-1, 1, 1, 1) * model.network.weight.sign()
        return images


@pytest.mark.parametrize("how", ["nan", "shape"])
def test_nonsense_from_an_attack_is_a_fault_never_robustness(how: str) -> None:
    model, x, labels, _ = linear_world()
    with pytest.raises(AttackFault):
        craft(model, Rogue(how), x, labels, LINF, rng())


def test_an_attack_outside_the_ball_is_projected_before_it_counts() -> None:
    model, x, labels, margin = linear_world()
    crafted = craft(model, Rogue("far"), x, labels, LINF, rng())
    assert (distance(x, crafted.images, "linf") <= 0.01 + 1e-6).all()
    assert torch.equal(crafted.robust, margin > 0.01 * model.weight.abs().sum())


@pytest.mark.parametrize("how", ["raise", "clean"])
def test_the_model_is_left_as_it_was(how: str) -> None:
    model = SmallNet().train()
    model.head.weight.grad = torch.ones_like(model.head.weight)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    x = images(8)
    attack = Rogue("raise") if how == "raise" else build("autoattack")
    with pytest.raises(RuntimeError, match="attack broke") if how == "raise" else nullcontext():
        craft(model, attack, x, torch.tensor([0, 1] * 4), LINF, rng())
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert torch.equal(model.head.weight.grad, torch.ones_like(model.head.weight))
    assert model.features[0].weight.grad is None
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


@pytest.mark.parametrize(
    "how",
    ["values", "parameter", "network", "forward", "no forward", "hook", "other hooks", "precision", "weight's shape"],
)
@pytest.mark.parametrize("within", [False, True])
def test_an_attack_that_changes_the_model_breaks_nothing(how: str, within: bool) -> None:
    model, x, labels, margin = linear_world()
    if "hook" in how:  # without it, the labels are the other way round
        model.weight.data.neg_()
        model.bias = -model.bias
        model.register_forward_hook(lambda module, given, named, logits: -logits, with_kwargs=True)
    if how == "no forward":
        model.forward = model.forward
    guarded, weight = guard(model, x.shape[-1]), model.weight.clone()
    for _ in range(2):
        with undisturbed(guarded) if within else nullcontext():
            crafted = craft(guarded, Rogue(how), x, labels, LINF, rng())
            assert torch.equal(model.weight, weight)
        assert torch.equal(crafted.robust, margin > 0), "the referee asks the model that was given"


def test_modules_in_another_order_are_put_back() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    with undisturbed(model):
        model._modules["0"] = model._modules.pop("0")
    assert [type(of) for of in model] == [torch.nn.Linear, torch.nn.ReLU]


def test_same_seed_same_attempts_and_global_generator_untouched() -> None:
    model, x, labels, _ = linear_world(24)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = craft(model, build("autoattack"), x, labels, LINF, rng(4))
    assert torch.equal(torch.rand(3), expected)
    second = craft(model, build("autoattack"), x, labels, LINF, rng(4))
    assert torch.equal(first.images, second.images)


class Coin(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = x.flatten(1).mean(1) - 0.5 + 0.2 * torch.randn(len(x))
        return torch.stack([-z, z], 1)


def test_random_and_gradient_free_models_are_found() -> None:
    x = images(8)
    assert is_random(Coin(), x) and not is_random(SmallNet().eval(), x)
    steps = lambda x: torch.stack([-(x.flatten(1).mean(1) * 8).round(), (x.flatten(1).mean(1) * 8).round()], 1)  # noqa: E731

    class Steps(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return steps(x)

    labels = torch.zeros(8, dtype=torch.long)
    assert zero_gradient(Steps(), x, labels).all()
    model, x, labels, _ = linear_world()
    assert not zero_gradient(model, x, labels).any()
    assert not zero_gradient(Linear(model.weight.detach(), model.bias, scale=1e-9), x, labels).any(), "scale is nothing"


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_gradient_is_blind_where_it_puts_the_boundary_beyond_grey(norm: Norm) -> None:
    x = torch.full((2, 1, 4, 4), 0.5)
    weight = torch.ones(1, 4, 4)
    dual = 16.0 if norm == "linf" else 4.0
    for share, wanted in ((0.49, False), (0.51, True)):
        away = share * (1 if norm == "linf" else 4)  # grey lies half the side away in l2
        model = Linear(weight, bias=away * dual - 8)
        assert zero_gradient(model, x, torch.ones(2, dtype=torch.long), norm).tolist() == [wanted] * 2


def test_one_wrong_answer_of_twenty_breaks_a_random_model() -> None:
    x = images(40)
    labels = (x.flatten(1).mean(1) > 0.5).long()
    once = craft(Coin(), Rogue("clean"), x, labels, LINF, rng(), predictions=2)
    many = craft(Coin(), Rogue("clean"), x, labels, LINF, rng(), predictions=20)
    assert many.robust.sum() < once.robust.sum()


@pytest.mark.parametrize(
    "network, says",
    [
        (lambda x: x.flatten(1)[:, :3], r"got \(2, 3\)"),
        (lambda x: x.flatten(1)[:, 0], r"got \(2,\)"),
        (lambda x: x.flatten(1)[:, :2] * float("nan"), "non-finite"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused(network, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=says):
        craft(network, build("fgsm"), images(2), torch.tensor([0, 1]), LINF, rng())


def test_one_logit_is_wrapped_symmetrically() -> None:
    wrapped = guard(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 1)), 16)
    logits = wrapped(images(3))
    assert logits.shape == (3, 2) and torch.allclose(logits[:, 0], -logits[:, 1])


def test_projection_is_inside_and_keeps_what_is_inside() -> None:
    x = images(4)
    for threat in (ThreatModel("linf", 0.1), ThreatModel("l2", 0.5)):
        inside = project(x, x + 1e-3, threat)
        assert torch.allclose(inside, x + 1e-3, atol=1e-6)
        far = project(x, x + 5, threat)
        assert (distance(x, far, threat.norm) <= threat.epsilon + 1e-5).all() and far.max() <= 1


def test_micro_batches_change_neither_gradients_nor_the_count_of_predictions() -> None:
    network, x = SmallNet().eval(), images(10)
    x1, x2 = x.clone().requires_grad_(), x.clone().requires_grad_()
    (whole,) = torch.autograd.grad(guard(network, 16)(x1)[:, 1].sum(), x1)
    split = guard(network, 16, micro_batch=4)
    (pieces,) = torch.autograd.grad(split(x2)[:, 1].sum(), x2)
    assert torch.allclose(whole, pieces, atol=1e-7)
    assert split.passes.backward == 10


class Sly(SmallNet):
    """Gives ``how`` where it is asked for gradients, or noise where the image is not one of ``known``."""

    def __init__(self, how: str, known: torch.Tensor) -> None:
        super().__init__()
        self.how, self.known = how, known

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        if self.how == "nan" and x.requires_grad:
            return logits * torch.nan
        if self.how == "nan gradient" and x.requires_grad:
            logits.register_hook(lambda gradient: gradient * torch.nan)
        if self.how == "noise":
            known = (x[:, None] == self.known[None]).flatten(2).all(2).any(1)
            return torch.where(known[:, None], logits, logits + torch.randn_like(logits))
        return logits


SLY = [(name, "noise") for name in ADVERSARIAL]
SLY += [(name, how) for name in WHITE_BOX for how in ("nan", "nan gradient")]


@pytest.mark.parametrize("name, how", SLY)
def test_a_model_that_misleads_attacks_is_a_fault_never_robust(name: str, how: str) -> None:
    x = images(8)
    model = Sly(how, x).eval()
    labels = SmallNet()(x).argmax(1)
    with pytest.raises((AttackFault, NonFinite)):
        craft(model, build(name), x, labels, LINF if knows(name, "linf") else ThreatModel("l2", 0.2), rng())


def test_a_model_that_mixes_its_batch_is_refused() -> None:
    class Mixing(SmallNet):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = super().forward(x)
            return logits - logits.mean(0)

    with pytest.raises(InputError, match="must not mix images"):
        craft(Mixing(), build("fgsm"), images(2), torch.tensor([0, 1]), LINF, rng())
