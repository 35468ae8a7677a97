"""A network without its batch norms is the same function, and answers only where no layer is looked at."""

from __future__ import annotations

import pytest
import torch
from fracbench import alignment, folding, registry, specs
from fracbench.folding import folded
from fracbench.models import Guarded, guard
from fracbench.resolving import resolve
from fracbench.runner import evaluate_model
from fracbench.submissions import default_dir, load_model, survey
from fracbench.undisturbed import undisturbed
from torch import Tensor, nn


class Net(nn.Module):
    """Two convolutions, each with a norm that has seen data; ``twice`` also reads the first convolution itself."""

    def __init__(self, convolution: type[nn.Conv2d] = nn.Conv2d, twice: bool = False, track: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = convolution(1, 6, 3, 2, 1), convolution(6, 6, 3, 2, 1, bias=False)
        self.after_one, self.after_two = (nn.BatchNorm2d(6, track_running_stats=track) for _ in range(2))
        self.head, self.twice = nn.Linear(6, 2), twice
        for norm in (self.after_one, self.after_two) if track else ():
            norm.running_mean, norm.running_var = torch.randn(6), torch.rand(6) + 0.5
            norm.weight.data, norm.bias.data = torch.rand(6) + 0.5, torch.randn(6)

    def forward(self, images: Tensor) -> Tensor:
        found = self.one(images)
        x = self.after_one(found).relu()
        x = self.after_two(self.two(x + found if self.twice else x)).relu()
        return self.head(x.mean((2, 3)))


class Standardised(nn.Conv2d):
    """Its weights have a deviation of 1 whatever they are, so no factor can be folded into them."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight / self.weight.std(), self.bias, self.stride, self.padding)


NOISE = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(("twice", "left"), [(False, 0), (True, 1)])
def test_a_norm_is_folded_where_nothing_else_reads_its_convolution(twice: bool, left: int) -> None:
    network = Net(twice=twice).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    quick = folded(network, NOISE)
    assert quick is not None and norms(quick) == left and norms(network) == 2
    assert torch.allclose(quick(NOISE), network(NOISE), atol=1e-6)
    given = NOISE.clone().requires_grad_()
    one, other = (torch.autograd.grad(of(given).sum(), given)[0] for of in (quick, network))
    assert torch.allclose(one, other, atol=1e-7) and one.abs().max() > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in quick.modules())


class Shared(Net):
    def forward(self, images: Tensor) -> Tensor:
        x = self.after_two(self.two(self.after_one(self.one(images)).relu())).relu()
        return self.head(self.after_two(self.two(x)).mean((2, 3)))


def test_a_convolution_that_is_called_twice_keeps_its_norm() -> None:
    network = Shared().eval()
    quick = folded(network, NOISE)
    assert quick is not None and norms(quick) == 1
    assert torch.allclose(quick(NOISE), network(NOISE), atol=1e-6)


class Random(Net):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + 0.1 * torch.randn_like(images))


@pytest.mark.parametrize("network", [
    Net(Standardised), Net(track=False), nn.Sequential(nn.Flatten(), nn.Linear(1024, 2)), Random(),
], ids=["standardised", "norms of the batch", "no norms", "random"])  # fmt: skip
def test_a_network_that_cannot_be_folded_is_used_as_it_is(network: nn.Module) -> None:
    assert folded(network.eval(), NOISE) is None


def test_who_looks_at_layers_sees_the_network_and_the_others_its_quick_copy() -> None:
    model = guard(Net().eval(), 32, fold=True)
    assert model.quick is not None
    seen: list[str] = []
    for name in ("network", "quick"):
        getattr(model, name).register_forward_pre_hook(lambda *_, name=name: seen.append(name))
    valid = torch.ones(4, 32, 32, dtype=torch.bool)
    asked = {}
    for name in ("saliency", "occlusion", "integrated_gradients", "smoothgrad", "gradient_shap", "gradcam", "deeplift"):
        seen.clear()
        alignment.explain(registry.make("explainers", name, {}), model, NOISE, valid)
        asked[name] = set(seen)
    assert {name for name, of in asked.items() if of == {"quick"}} == {*asked} - {"gradcam", "deeplift"}
    assert all(asked[name] == {"network"} for name in ("gradcam", "deeplift"))
    seen.clear()
    model(NOISE)
    assert seen == ["quick"]


@pytest.mark.parametrize("name", ["phantom-resnet-pgd-at", "phantom-coatnet-standard"])
@pytest.mark.slow
def test_a_run_with_the_quick_copy_agrees_with_one_without_it(name: str) -> None:
    """As two devices must: flags may differ where a margin is below 1e-4, and recrafted accuracy by 2 points."""
    job = resolve(specs.load("smoke"), limit=8)
    (entry,), _ = survey(default_dir(), None, [name])
    model = load_model(entry, job.spec.image_size, "cpu", 64)
    assert model.quick is not None
    quick, plain = (evaluate_model(of, job, "cpu").tables for of in (model, Guarded(model.network)))
    one, other = (of["predictions"].query("attack == 'clean'") for of in (quick, plain))
    assert (one.margin - other.margin).abs().max() < 1e-4
    assert (one.correct == other.correct)[one.margin.abs() > 1e-4].all()
    robust = [
        of["predictions"].query("part == '' and not ladder").groupby("attack").correct.mean() for of in (quick, plain)
    ]
    assert (robust[0] - robust[1]).abs().max() <= 0.02
    maps = [of["alignment"].query("attack == 'clean'").set_index(["explainer", "image"]) for of in (quick, plain)]
    for metric in ("relevance_mass_accuracy", "auc"):
        assert (maps[0][metric] - maps[1][metric]).abs().max() < 1e-2


def test_the_quick_copy_is_left_as_it_was_too() -> None:
    model = guard(Net().eval(), 32, fold=True)
    assert model.quick is not None
    before = [value.clone() for value in model.quick.parameters()]
    with undisturbed(model):
        assert not any(value.requires_grad for value in model.quick.parameters())
        next(model.quick.parameters()).data.zero_()
    assert all(torch.equal(now, then) for now, then in zip(model.quick.parameters(), before, strict=True))


def test_rounding_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """In single precision a ReLU near 0 that switches moved this network's gradient by up to a hundredth."""
    monkeypatch.setattr(folding, "SHARES", (1e-6, 1e-6))
    torch.manual_seed(0)
    parameters = {"architecture": "resnet18", "options": {"zero_init_last": False}}
    network = registry.make("models", "timm", parameters).eval().requires_grad_(False)
    assert folded(network, torch.rand(2, 1, 96, 96, generator=torch.Generator().manual_seed(0))) is not None
    assert next(network.parameters()).dtype == torch.float32
