"""The phantom with a secret seed: images that no submitter has seen. ``docs/private-track.md`` says how to keep it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from fracbench_plugins.datasets.phantom import Phantom
from fracbench_plugins.datasets.phantom.secret import secret_seed


@dataclass(frozen=True)
class PhantomPrivate(Phantom):
    """The phantom, drawn from the seed in ``FRACBENCH_PRIVATE_SEED`` or in the file ``FRACBENCH_PRIVATE_SEED_FILE``.

    Everything else is as in ``phantom``. The seed is no parameter: no YAML holds it, and it is no part of the repr.
    The variable is taken out of the environment when it is read. Raises ``InputError`` where there is no such seed,
    or where it can be guessed or read by others.
    """

    seed: int = field(default=0, init=False, repr=False)
    secret_files: tuple[Path, ...] = field(default=(), init=False, repr=False)

    like: ClassVar[str] = "phantom"

    def __post_init__(self) -> None:
        seed, files = secret_seed()
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "secret_files", files)
        super().__post_init__()
