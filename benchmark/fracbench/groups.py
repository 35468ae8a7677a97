"""Cells that belong to one process: an attack with the explanations of its images, and what it builds on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fracbench.plan import CLEAN, CRAFTED, Cell, Job


@dataclass(frozen=True)
class Group:
    """Cells of one logical batch that are computed one after the other; ``needs`` come before, in other groups.

    What a group computes depends on its cells and on what they need alone, never on who computes it.
    """

    cells: tuple[Cell, ...]
    needs: tuple[Cell, ...]


def grouped(job: Job, cells: Iterable[Cell]) -> list[Group]:
    """All groups of these cells of one logical batch, in their order: cells of ``job.cells`` or ``job.answering``."""
    by_key: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        by_key.setdefault(_key(job, cell), []).append(cell)
    return [Group(tuple(of), tuple(_needs(job, of))) for of in by_key.values()]


def _key(job: Job, cell: Cell) -> tuple[str, ...]:
    if cell.kind in ("attack", "explain", "explanation"):
        return "explained", cell.attack
    if cell.kind == "symptoms":  # told by what the ladder has broken, so after it
        ladder = job.spec.threat.ladder
        return ("ladder", "", ladder.attack.name) if ladder else ("symptoms",)
    return cell.kind, cell.norm, cell.attack


def _needs(job: Job, cells: Sequence[Cell]) -> list[Cell]:
    batch = cells[0].batch
    clean = Cell("clean", batch)
    first = next((cell for cell in cells if cell.kind in ("ladder", "symptoms")), None)
    if first is None:
        return [] if clean in cells else [clean]
    order = [*job.cells(batch), *job.answering(batch)]
    before = order[: order.index(first)]
    return [cell for cell in before if cell.kind in (CLEAN, *CRAFTED)]
