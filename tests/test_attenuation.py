"""The phantom's attenuation coefficients against published tables (Elam et al. 2002, through xraydb)."""

from __future__ import annotations

import pytest
import xraydb
from fracbench_plugins.datasets.phantom import acquisition

ENERGY = 60_000.0  # eV
# mass fractions and density (g/cm3) as in ICRU Report 44
TISSUES: dict[str, tuple[dict[str, float], float]] = {
    "CORTICAL": (
        {"H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "Na": 0.001, "Mg": 0.002, "P": 0.103, "S": 0.003, "Ca": 0.225},
        1.92,
    ),
    "MUSCLE": (
        {"H": 0.102, "C": 0.143, "N": 0.034, "O": 0.710, "Na": 0.001, "P": 0.002, "S": 0.003, "Cl": 0.001, "K": 0.004},
        1.05,
    ),
    "FAT": ({"H": 0.114, "C": 0.598, "N": 0.007, "O": 0.278, "Na": 0.001, "S": 0.001, "Cl": 0.001}, 0.95),
    "SKIN": (
        {"H": 0.100, "C": 0.204, "N": 0.042, "O": 0.645, "Na": 0.002, "P": 0.001, "S": 0.002, "Cl": 0.003, "K": 0.001},
        1.09,
    ),
}
SPONGIOSA = {"H": 0.085, "C": 0.404, "N": 0.058, "O": 0.367, "Na": 0.001, "Mg": 0.001, "P": 0.034, "S": 0.002,
             "Cl": 0.002, "K": 0.001, "Ca": 0.044, "Fe": 0.001}  # fmt: skip


def per_mm(fractions: dict[str, float], density: float) -> float:
    """Linear attenuation coefficient at 60 keV, 1/mm."""
    return float(sum(part * xraydb.mu_elam(element, ENERGY) for element, part in fractions.items()) * density / 10)


@pytest.mark.parametrize("tissue", TISSUES)
def test_a_tissue_attenuates_as_the_tables_say(tissue: str) -> None:
    assert getattr(acquisition, tissue) == pytest.approx(per_mm(*TISSUES[tissue]), rel=0.02)


def test_trabecular_bone_is_spongiosa_a_quarter_denser() -> None:
    assert acquisition.TRABECULAR / per_mm(SPONGIOSA, 1.18) == pytest.approx(1.25, abs=0.02)


def test_a_cast_is_gypsum_with_two_fifths_air() -> None:
    solid = float(xraydb.material_mu("CaSO4H4O2", ENERGY, density=2.32)) / 10
    assert acquisition.PLASTER / solid == pytest.approx(0.6, abs=0.02)
