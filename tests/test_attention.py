"""Attention rollout, plain and weighted by gradients, on a transformer whose weights are known and on timm's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from analytic import SmallNet, Tokens, images, one_bright_patch
from fracbench import registry
from fracbench.contracts import MarginModel, Unsupported
from torch import nn

BOTH = ["attention_rollout", "gradient_attention"]


def maps_of(name: str, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return registry.make("explainers", name, {})(MarginModel(model), x)


def vit(architecture: str = "vit_tiny_patch16_224", **options: Any) -> nn.Module:
    torch.manual_seed(0)
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 3, "num_heads": 2} | options
    model = registry.make("models", "timm", {"architecture": architecture, "options": options}).eval()
    for name, parameter in model.named_parameters():
        if "qkv" in name:
            parameter.data *= 20  # attention of an untrained network is all but uniform
    return model


@pytest.mark.parametrize("name", BOTH)
def test_they_point_at_the_patch_that_the_class_token_reads(name: str) -> None:
    for row, column in ((0, 2), (3, 1)):
        found = maps_of(name, Tokens(), one_bright_patch(row, column))
        assert found.shape == (1, 4, 4) and divmod(int(found.argmax()), 4) == (row, column)


def test_one_layer_has_its_own_weights_as_rollout_and_weight_times_value_with_gradients() -> None:
    x = images(2, side=32)
    brightness = nn.functional.avg_pool2d(x, 8)[:, 0]
    scores = torch.cat([torch.zeros(2, 1), 20 * brightness.flatten(1)], 1)  # the class token itself is dark
    weights = scores.softmax(1)[:, 1:].view(2, 4, 4)
    assert torch.allclose(maps_of("attention_rollout", Tokens(), x), weights / 2, atol=1e-6)
    assert torch.allclose(maps_of("gradient_attention", Tokens(), x), weights * brightness, atol=1e-6)


def by_hand(model: nn.Module, x: torch.Tensor, readers: slice, prefix: int) -> torch.Tensor:
    """Rollout from queries and keys, layer by layer."""
    tokens = model.network._pos_embed(model.network.patch_embed(model.prepared(x)))  # type: ignore[union-attr, operator]
    rolled = torch.eye(tokens.shape[1]).expand(len(x), -1, -1)
    for block in model.network.blocks:  # type: ignore[union-attr]
        query, key, _ = block.attn.qkv(block.norm1(tokens)).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.mT / 8**0.5).softmax(3).mean(1)
        rolled = (0.5 * weights + 0.5 * torch.eye(tokens.shape[1])) @ rolled
        tokens = block(tokens)
    return rolled[:, readers, prefix:].mean(1).unflatten(1, (4, 4)).detach()


@pytest.mark.parametrize(
    "architecture, options, readers, prefix",
    [
        ("vit_tiny_patch16_224", {}, slice(0, 1), 1),
        ("vit_tiny_patch16_224", {"global_pool": "avg"}, slice(1, None), 1),
        ("vit_tiny_patch16_224", {"global_pool": "avg", "class_token": False}, slice(0, None), 0),
        ("vit_tiny_patch16_224", {"reg_tokens": 3}, slice(0, 1), 4),
        ("deit_tiny_distilled_patch16_224", {}, slice(0, 2), 2),
    ],
)
def test_rollout_of_timm_networks_starts_at_the_tokens_that_the_answer_is_read_from(
    architecture: str, options: dict[str, Any], readers: slice, prefix: int
) -> None:
    model, x = vit(architecture, **options), images(2, side=32)
    found = maps_of("attention_rollout", model, x)
    assert torch.allclose(found, by_hand(model, x, readers, prefix), atol=1e-5)
    assert found.flatten(1).std(1).min() > 1e-4


@pytest.mark.parametrize("name", BOTH)
def test_fused_attention_is_fused_again_afterwards(name: str) -> None:
    model, x = vit(), images(2, side=32)
    layers = [module for module in model.modules() if hasattr(module, "fused_attn")]
    for layer in layers[:2]:
        layer.fused_attn = True
    layers[2].fused_attn = False
    before = model(x)
    assert maps_of(name, model, x).abs().max() > 0
    assert [layer.fused_attn for layer in layers] == [True, True, False]
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("name", BOTH)
def test_networks_whose_attention_cannot_be_rolled_out_are_unsupported(name: str) -> None:
    swin = {"img_size": 64, "window_size": 4, "depths": [1, 1, 1, 1], "embed_dim": 24}
    windows = registry.make("models", "timm", {"architecture": "swin_tiny_patch4_window7_224", "options": swin}).eval()
    with pytest.raises(Unsupported, match="windows"):
        maps_of(name, windows, images(2, side=64))
    with pytest.raises(Unsupported, match="no attention"):
        maps_of(name, SmallNet().eval(), images(2))

    class Silent(Tokens):
        num_prefix_tokens = None  # type: ignore[assignment]

    with pytest.raises(Unsupported, match="declares no num_prefix_tokens"):
        maps_of(name, Silent(), images(2, side=32))
