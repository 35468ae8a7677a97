"""Scores against Quantus itself and against maps whose score is known."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import parity
import pytest
import torch
from analytic import SmallNet, images
from fracbench import alignment, registry
from fracbench.errors import InputError
from fracbench.models import guard
from fracbench.otsu import otsu
from fracbench.schema import PluginRef
from scipy.stats import rankdata
from skimage.filters import threshold_otsu
from torch import nn
from worlds import registered

RNG = np.random.default_rng(0)


def masks_of(n: int = 12, side: int = 32) -> torch.Tensor:
    masks = torch.zeros(n, side, side, dtype=torch.bool)
    for i in range(n):
        r, c, h, w = RNG.integers(0, side - 8, 2).tolist() + RNG.integers(2, 8, 2).tolist()
        masks[i, r : r + h, c : c + w] = True
    return masks


def tie_free(n: int = 12, side: int = 32) -> torch.Tensor:
    return parity.tie_free(n, side, RNG)


def test_every_metric_equals_quantus_on_tie_free_maps() -> None:
    maps, masks = tie_free(), masks_of()
    ours, theirs = alignment.score(maps, masks), parity.quantus_scores(maps, masks)
    assert set(ours) == {*theirs, "iou"} == set(registry.names("metrics"))
    for name in theirs:
        scores = ours[name]
        np.testing.assert_allclose(scores.numpy(), theirs[name], atol=1e-5, err_msg=name)


def test_the_mask_as_map_scores_one_and_its_complement_zero() -> None:
    masks = masks_of()
    best = alignment.score(masks.float(), masks)
    worst = alignment.score((~masks).float(), masks)
    for name in alignment.METRICS:
        if name == "top_k_intersection":
            k = registry.make("metrics", name, {}).k(masks[0].numel())
            area = masks.sum((1, 2)).float()
            # beyond the mask all pixels tie at zero, so k reaches the mask's share of the rest: none of it
            assert torch.allclose(best[name], area.clamp_max(k) / k)
        else:
            assert torch.allclose(best[name], torch.ones(len(masks))), name
        assert torch.allclose(worst[name], torch.zeros(len(masks))), name


def test_a_batch_equals_its_images_one_by_one() -> None:
    maps, masks = tie_free(), masks_of()
    maps[3] = 0
    maps[4] = (maps[4] * 4).round() / 4
    together = alignment.score(maps, masks)
    for i in range(len(maps)):
        alone = alignment.score(maps[i : i + 1], masks[i : i + 1])
        for name, scores in alone.items():
            assert torch.equal(scores[0], together[name][i]), name


def test_blank_constant_and_non_finite_maps_score_zero_and_empty_masks_are_nan() -> None:
    maps, masks = tie_free(4), masks_of(4)
    maps[0], maps[1] = 0, 0.7
    maps[2, 0, 0] = torch.nan
    masks[3] = False
    for name, scores in alignment.score(maps, masks).items():
        assert (scores[:3] == 0).all(), name
        assert torch.isnan(scores[3]), name


def test_negative_maps_and_other_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="negative"):
        alignment.score(-tie_free(2), masks_of(2))
    with pytest.raises(InputError, match="batch, H, W"):
        alignment.score(tie_free(2), masks_of(3))


def test_each_map_is_scored_by_the_shape_of_it_and_not_by_its_unit() -> None:
    maps, masks = tie_free(6), masks_of(6)
    near = [mask[None] for mask in masks]
    wanted = alignment.score(maps, masks, near=near)
    for name in alignment.METRICS:
        alone = registry.make("metrics", name, {})(maps, masks).float()
        assert torch.equal(wanted[name], alone), f"{name} of maps with maximum 1 is that of the metric, bit by bit"
    wide = maps.double()
    for scaled in (wide, wide * 1e-60, wide * 1e60, wide * 2.0**-1050, maps * 2.0**120, maps * 2.0**-100):
        found = alignment.score(scaled, masks, near=near)
        assert all(torch.equal(found[name], scores) for name, scores in wanted.items()), float(scaled.max())
    one_in_two = torch.stack([wide[0], wide[1] * 1e-60])
    assert torch.equal(alignment.score(one_in_two, masks[:2])["auc"], wanted["auc"][:2])


def test_a_map_that_is_even_once_it_is_scored_is_constant() -> None:
    maps = torch.ones(1, 16, 16, dtype=torch.float64)
    maps[0, 4, 4] += 1e-12
    assert alignment.score(maps, masks_of(1, 16), ["pointing_game"])["pointing_game"] == 0


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_attributions_of_any_size_make_maps(scale: float) -> None:
    raw, valid = tie_free(2, 8).double(), torch.ones(2, 16, 16, dtype=torch.bool)
    wanted, _ = alignment.to_maps(raw, "positive", valid)
    maps, blank = alignment.to_maps(raw * scale, "positive", valid)
    assert not blank.any() and maps.dtype == torch.float32
    torch.testing.assert_close(maps, wanted)


def test_metrics_take_parameters_and_what_is_no_metric_is_one_line() -> None:
    maps, masks = tie_free(3), masks_of(3)
    wider = PluginRef(name="top_k_intersection", params={"share": 0.1})
    found = alignment.score(maps, masks, [wider, "auc"])
    assert list(found) == ["top_k_intersection", "auc"]
    wanted = registry.make("metrics", "top_k_intersection", {"share": 0.1})(maps, masks)
    assert torch.equal(found["top_k_intersection"], wanted)
    assert alignment.score(maps, masks, []) == {}
    for metrics, says in (
        ("auc", "metrics must be a list"),
        (["auk"], "Did you mean 'auc'?"),
        (["auc", "auc"], "'auc' is listed twice"),
        (["hit"], r"every run has it, and fracbench.instances.peak_hit\(maps, near\) computes it"),
        (["auc", "instance_hit"], "score computes it where near= is given"),
        ([registry.make("metrics", "auc", {})], r"AUC\(\) is neither a name nor a PluginRef"),
    ):
        with pytest.raises(InputError, match=says) as fault:
            alignment.score(maps, masks, metrics)  # type: ignore[arg-type]
        assert len(str(fault.value).splitlines()) == 1


def test_a_metric_that_breaks_its_contract_is_named() -> None:
    class Odd:
        name, higher_is_better = "odd", True
        found = torch.zeros(2)

        def __call__(self, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
            return self.found

    with registered(odd=("metrics", Odd)):
        with pytest.raises(alignment.ExplainerFault, match=r"'odd' returned \(2,\) for 3 maps"):
            alignment.score(tie_free(3), masks_of(3), ["odd"])
        Odd.found = torch.full((3,), torch.inf)
        with pytest.raises(alignment.ExplainerFault, match="'odd' returned a score that is not finite"):
            alignment.score(tie_free(3), masks_of(3), ["odd"])


def test_quantus_prints_nothing_and_has_the_same_rule_for_a_mask_of_everything(
    capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    maps, masks = tie_free(4), masks_of(4)
    masks[1:3] = True
    for marked, given in ((masks, maps), (masks[1:3], maps[1:3])):
        ours, theirs = (alignment.score(given, marked, backend=by) for by in ("fracbench", "quantus"))  # type: ignore[arg-type]
        for name in set(alignment.METRICS) - {"iou"}:
            torch.testing.assert_close(ours[name], theirs[name], atol=1e-5, rtol=0, msg=name)
    assert capsys.readouterr().out == "" and not list(recwarn)


def test_ties_take_the_expectation_over_orders() -> None:
    """Against many random tie orders; a score must not depend on where the mask lies."""
    levels = torch.from_numpy(RNG.integers(0, 4, (1, 12, 12)) / 3).float()
    masks = torch.zeros(1, 12, 12, dtype=torch.bool)
    masks[0, 3:6, 2:9] = True
    scores = alignment.score(levels, masks)
    noise = torch.from_numpy(RNG.random((1500, 12, 12))).float() * 1e-3
    draws = alignment.score(levels + noise, masks.expand(1500, -1, -1))
    for name in ("pointing_game", "relevance_rank_accuracy", "top_k_intersection", "auc"):
        spread = float(draws[name].std()) / np.sqrt(1500)
        assert abs(float(draws[name].mean()) - float(scores[name])) < 4 * spread + 1e-6, name


def test_quantus_differs_on_purpose_on_blank_maps_and_empty_masks() -> None:
    """Pinned: Quantus calls an all-zero map and an empty mask a hit."""
    blank, mask = torch.zeros(2, 16, 16), torch.zeros(2, 16, 16, dtype=torch.bool)
    blank[1] = tie_free(1, 16)[0]  # one real map, since Quantus refuses a batch of zeros
    mask[:, 4:8, 4:8] = True
    assert parity.quantus_scores(blank, mask)["pointing_game"][0] == 1
    assert alignment.score(blank, mask)["pointing_game"][0] == 0


def test_sign_policy_padding_and_scale() -> None:
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    valid[:, :, :2] = False
    raw = torch.full((1, 8, 8), 0.25)
    raw[0, 0, 0], raw[0, 3, 3], raw[0, 5, 5] = 9, 2, -4
    positive, _ = alignment.to_maps(raw, "positive", valid)
    absolute, _ = alignment.to_maps(raw, "absolute", valid)
    assert positive[0, 0, 0] == 0 and positive[0, 3, 3] == 1 and positive[0, 5, 5] == 0
    assert absolute[0, 5, 5] == 1 and absolute[0, 3, 3] == 0.5
    constant, blank = alignment.to_maps(torch.ones(1, 8, 8), "positive", valid)
    assert blank.all() and (constant == 0).all()
    negative, blank = alignment.to_maps(-torch.rand(1, 4, 4) - 0.1, "positive", valid)
    assert blank.all() and (negative == 0).all()


def test_iou_is_cut_where_scikit_image_cuts() -> None:
    maps, masks = tie_free(6) ** 3, masks_of(6)
    maps[1] = (maps[1] * 9).round() / 9
    maps[2] = 5 + 100 * maps[2]
    for i, value in enumerate(alignment.score(maps, masks)["iou"].tolist()):
        cut = maps[i].numpy() > threshold_otsu(maps[i].numpy())
        inside = masks[i].numpy()
        assert value == pytest.approx((cut & inside).sum() / (cut | inside).sum(), abs=1e-6)


@pytest.mark.parametrize("side", [4, 7, 16])
def test_a_constant_map_on_any_grid_is_blank(side: int) -> None:
    values = torch.linspace(0.01, 3, 50)[:, None, None].expand(-1, side, side)
    _, blank = alignment.to_maps(values, "positive", torch.ones(50, 224, 224, dtype=torch.bool))
    assert blank.all(), "rounding on the way to the image's size makes no map"


def test_auc_equals_the_rank_formula() -> None:
    maps, masks = (tie_free(3) * 10).round() / 10, masks_of(3)
    for i, value in enumerate(alignment.score(maps, masks)["auc"].tolist()):
        ranks, inside = rankdata(maps[i].numpy().ravel()), masks[i].numpy().ravel()
        p, n = inside.sum(), (~inside).sum()
        assert value == pytest.approx((ranks[inside].sum() - p * (p + 1) / 2) / (p * n), abs=1e-6)


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_an_explainer_leaves_the_model_as_it_was(how: str) -> None:
    model = SmallNet().train()
    guarded = guard(model, 16)
    before = {key: value.clone() for key, value in model.state_dict().items()}

    class Careless:
        sign = "absolute"

        def __call__(self, margin_model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
            layer = margin_model.network.features[0]
            layer.register_forward_hook(lambda *_: None)
            layer.weight.requires_grad_(True)
            layer.register_full_backward_hook(lambda *_: None)
            layer.weight.data.add_(1)
            margin_model.train()
            margin_model(images.requires_grad_(True)).sum().backward()
            if how == "raises":
                raise RuntimeError("on purpose")
            return images.grad[:, 0]

    valid = torch.ones(4, 16, 16, dtype=torch.bool)
    with pytest.raises(RuntimeError, match="on purpose") if how == "raises" else nullcontext():
        alignment.explain(Careless(), guarded, images(4), valid)
    assert model.training and all(module.training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_activations_in_place_overwrite_nothing_an_explainer_reads() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(4, 2))

    class Reads:
        """The first channel as the convolution gave it; the backward hook refuses what is changed in place."""

        sign = "absolute"

        def __call__(self, margin_model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
            kept: list[torch.Tensor] = []
            margin_model.network[0].register_forward_hook(lambda _module, _given, out: kept.append(out))
            margin_model.network[0].register_full_backward_hook(lambda *_: None)
            margin_model(images.requires_grad_(True)).sum().backward()
            return kept[0][:, 0].detach()

    given = images(4)
    explained = alignment.explain(Reads(), guard(network, 16), given, torch.ones(4, 16, 16, dtype=torch.bool))
    with torch.no_grad():
        wanted = layers[0](given)[:, 0].abs()
    torch.testing.assert_close(explained.maps, wanted / wanted.amax((1, 2), keepdim=True))
    assert layers[1].inplace, "as it was"


def test_a_mask_of_everything_and_a_mask_of_one_pixel() -> None:
    maps, masks = tie_free(2), torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0] = True
    masks[1, 5, 6] = True
    maps[1] = maps[1].clamp_max(0.9)
    maps[1, 5, 6] = 1
    scores = alignment.score(maps, masks)
    for name in alignment.METRICS:
        wanted = {"auc": 0.5, "iou": float((maps[0] > otsu(maps[:1])[0]).float().mean())}.get(name, 1.0)
        assert float(scores[name][0]) == pytest.approx(wanted, abs=1e-6), name
    assert scores["pointing_game"][1] == scores["relevance_rank_accuracy"][1] == scores["auc"][1] == 1
    assert float(scores["relevance_mass_accuracy"][1]) == pytest.approx(1 / float(maps[1].sum()), rel=1e-5)
