"""A second virtual reader, whose outlines differ from the exact ones in a stated way."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, shift

SHIFT = 2.0  # standard deviation of the displacement in each direction, pixels of 256
GROW = (-1, 0, 1, 2, 3)  # pixels the outline is drawn inside (-) or outside (+) the exact one, equally likely


def second_outlines(instances: NDArray[np.bool_], name: str) -> NDArray[np.bool_]:
    """Outlines (n, H, W) moved by a normal draw of 2 px and drawn up to 3 px too wide or 1 px too tight.

    The draw depends on ``name`` alone; an outline that would vanish stays as it is.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    found = []
    for instance in instances:
        rows, columns = (round(float(offset)) for offset in rng.normal(0, SHIFT, 2))
        grow = int(rng.choice(GROW))
        changed = instance
        if grow:
            changed = (binary_dilation if grow > 0 else binary_erosion)(instance, iterations=abs(grow))
        moved = shift(changed.astype(np.uint8), (rows, columns), order=0).astype(bool)
        found.append(moved if moved.any() else instance)
    return np.array(found, bool).reshape(instances.shape)
