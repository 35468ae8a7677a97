"""Nearly identical pictures, found by what they show: the same view stored twice, brighter, cut or compressed again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

SIDE, LOW = 64, 16  # pixels of the small picture, and how many of its frequencies a hash has in each direction
CORRELATED, BITS = 0.99, 40  # above and at most which two pictures are nearly identical


def near_duplicates(images: Iterable[tuple[str, NDArray[np.float32]]]) -> list[list[str]]:
    """Groups, each of two or more names, of images float32 (height, width) in [0, 1], which may have any sizes.

    Two images are linked where their pictures of 64 x 64 correlate by more than 0.99 and the signs of their 16 x 16
    lowest frequencies against the median (the perceptual hash pHash, 256 bits) differ in at most 40 places; a group is
    what links tie together.
    """
    names, pictures, hashes = [], [], []
    for name, image in images:
        small = _small(image)
        names.append(name)
        low = dctn(small, type=2)[:LOW, :LOW]
        hashes.append((low > np.median(low)).ravel())
        centred = small - small.mean()
        pictures.append((centred / max(float(np.linalg.norm(centred)), 1e-12)).ravel())
    if not names:
        return []
    shown, bits = np.stack(pictures).astype(np.float32), np.stack(hashes).astype(np.float32)
    links = []
    for start in range(0, len(names), 512):
        ours = slice(start, start + 512)
        alike = shown[ours] @ shown.T > CORRELATED
        differing = bits[ours].sum(1)[:, None] + bits.sum(1)[None] - 2 * bits[ours] @ bits.T
        for i, j in zip(*np.nonzero(alike & (differing <= BITS)), strict=True):
            if start + i < j:
                links.append((names[start + i], names[j]))
    return _tied(links)


def _small(image: NDArray[np.float32]) -> NDArray[np.float64]:
    pixels = Image.fromarray((image * 255).round().astype(np.uint8))
    return np.asarray(pixels.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float64)


def _tied(links: Sequence[tuple[str, str]]) -> list[list[str]]:
    from fracbench_plugins.datasets._groups import joined

    groups: dict[str, list[str]] = {}
    for name, group in joined(sorted({name for link in links for name in link}), links).items():
        groups.setdefault(group, []).append(name)
    return sorted(groups.values())
