"""From attenuation to an 8-bit radiograph: beam, scatter, blur, noise and each site's processing.

Attenuation coefficients are for 60 keV, mass coefficient x density, per mm (NIST XCOM): cortical bone, muscle, fat and
skin of ICRU-44, its spongiosa at 1.25 times the density, and gypsum with two fifths of air.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from fracbench_plugins.datasets.phantom.geometry import Plane

CORTICAL, TRABECULAR, MUSCLE, FAT, SKIN = 0.0604, 0.0330, 0.0215, 0.0188, 0.0224
PLASTER, LEAD = 0.0480, 3.0


@dataclass(frozen=True)
class Site:
    """A hospital: its detector and the look of its processing."""

    name: str
    photons: float  # reaching an open pixel
    scatter: float  # twice the weight of the blurred primary beam that is added to it
    blur: float  # focal spot and detector, pixels
    electronic: float  # noise, photons
    gamma: float
    sharpen: float
    shutter: float  # grey outside the collimated field


SITES = (
    Site("north", 9000.0, 0.30, 0.70, 25.0, 0.95, 0.5, 0.0),
    Site("south", 5000.0, 0.45, 0.90, 30.0, 0.80, 0.9, 0.0),
    Site("west", 14000.0, 0.20, 0.60, 20.0, 1.10, 0.2, 1.0),
)
SHIFTED = Site("harbour", 2600.0, 0.70, 1.25, 45.0, 0.65, 1.6, 1.0)


def expose(rng: np.random.Generator, attenuation: Plane, site: Site) -> Plane:
    """Detected photons per pixel."""
    side = attenuation.shape[0]
    open_beam = site.photons * rng.uniform(0.8, 1.25)
    rows, columns = np.mgrid[:side, :side] / (side - 1) - 0.5
    heel = 1 + rng.uniform(-0.06, 0.06) * rows + rng.uniform(-0.04, 0.04) * columns
    primary = open_beam * heel * np.exp(-attenuation)
    coarse = primary.reshape(side // 8, 8, side // 8, 8).mean((1, 3))
    fog = zoom(gaussian_filter(coarse, 4.0, mode="nearest"), 8, order=1, mode="nearest", grid_mode=True)
    mean = primary + site.scatter * 0.5 * fog
    quanta = mean + np.sqrt(mean) * rng.standard_normal(mean.shape)
    return gaussian_filter(quanta, site.blur) + site.electronic * rng.standard_normal(mean.shape)


def develop(photons: Plane, field: NDArray[np.bool_], site: Site, contrast: float) -> NDArray[np.uint8]:
    """Logarithm, window on what the field shows, edge enhancement and the site's curve; bone is bright."""
    density = -np.log(np.clip(photons, site.photons * 1e-4, None))
    inside = np.sort(density[field])
    low, high = inside[int(0.02 * inside.size)], inside[int(0.995 * inside.size)]
    scaled = (density - low) / max(high - low, 1e-6)
    scaled = scaled + site.sharpen * (scaled - gaussian_filter(scaled, 2.5))
    curved = np.clip(scaled, 0, 1.15) ** (site.gamma * contrast) * 0.87
    grey = np.where(field, curved, site.shutter)
    return np.asarray((np.clip(grey, 0, 1) * 255).round().astype(np.uint8))
