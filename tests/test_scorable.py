"""What cannot be scored is refused in one line that names it and says what to pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fracbench import alignment
from fracbench.errors import InputError

MAPS = torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(0))
MASKS = torch.zeros(4, 16, 16, dtype=torch.bool)
MASKS[:, 4:8, 4:9] = True
VALID = torch.ones_like(MASKS)
NEAR = [mask[None] for mask in MASKS]


def changed(given: torch.Tensor, *at: Any, value: Any) -> torch.Tensor:
    copy = given.clone()
    copy[at] = value
    return copy


def stripes() -> torch.Tensor:
    """The sum over rows and over columns of a rectangle, and none."""
    return changed(VALID, 2, slice(5, 7), value=False)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"valid": VALID[:2]}, "valid is (2, 16, 16); it must be (4, 16, 16) like maps"),
        ({"valid": VALID[0]}, "valid is (16, 16); it must be"),
        ({"valid": changed(VALID, 3, value=False)}, "valid[3] is no rectangle of picture"),
        ({"valid": changed(VALID, 1, 8, 8, value=False)}, "valid[1] is no rectangle of picture"),
        ({"valid": stripes()}, "valid[2] is no rectangle of picture"),
        ({"valid": changed(VALID.float(), 0, 0, 0, value=torch.nan)}, "valid has values that are not finite"),
        ({"valid": VALID.numpy()}, "valid is a ndarray, not a tensor; pass torch.from_numpy(valid)"),
        ({"maps": MAPS.numpy()}, "maps is a ndarray, not a tensor; pass torch.from_numpy(maps)"),
        ({"masks": MASKS.numpy()}, "masks is a ndarray, not a tensor; pass torch.from_numpy(masks)"),
        ({"maps": MAPS.tolist()}, "maps is a list, not a tensor; pass torch.as_tensor(maps)"),
        ({"maps": MAPS.to(torch.complex64)}, "maps must be real"),
        ({"masks": changed(MASKS.float(), 1, 2, 3, value=torch.nan)}, "masks has values that are not finite"),
        ({"masks": changed(MASKS.float(), 1, 2, 3, value=torch.inf)}, "masks has values that are not finite"),
        ({"near": NEAR[:3]}, "near has 3 entries for 4 maps; pass a list in which near[i] is (n, 16, 16)"),
        ({"near": iter(NEAR)}, "near is a list_iterator for 4 maps"),
        ({"near": MASKS}, "near[0] is (16, 16); it must be (n, 16, 16)"),
        ({"near": [*NEAR[:3], NEAR[3][:, :8]]}, "near[3] is (1, 8, 16); it must be (n, 16, 16)"),
        ({"near": [of.numpy() for of in NEAR]}, "near[0] is a ndarray, not a tensor; pass torch.from_numpy(near[0])"),
        ({"backend": "Quantus"}, "unknown metrics backend 'Quantus'. Did you mean 'quantus'?"),
    ],
)
def test_it_is_one_line(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as fault:
        alignment.score(**({"maps": MAPS, "masks": MASKS, "metrics": ["auc"]} | changes))
    assert says in str(fault.value) and len(str(fault.value).splitlines()) == 1


def test_numbers_stand_for_masks_and_gradients_are_let_go() -> None:
    wanted = alignment.score(MAPS, MASKS, valid=VALID, near=NEAR)
    found = alignment.score(
        MAPS.clone().requires_grad_(), MASKS.float() * 255, valid=VALID.int(), near=[of.double() for of in NEAR]
    )
    assert all(torch.equal(found[name], scores) and not found[name].requires_grad for name, scores in wanted.items())
