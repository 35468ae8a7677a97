"""What the parts of pyautoattack need before they serve here.

They run on correctly classified images only and hand back clean images where they fail; we take their
inner ``attack_single_run`` instead, whose result is the strongest attempt. Seeding and the subset order
are pyautoattack's own, so that the flags are identical to calling it directly on the same batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from fracbench.contracts import Model
from fracbench.tensors import Images, Labels

NORMS = {"linf": "Linf", "l2": "L2"}


def draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**31, (1,), generator=generator))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """pyautoattack draws from the global generator; give it back as it was."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zero gradients are a flag of ours, counted per image
        torch.manual_seed(seed)
        yield


def attempt_all(
    single_run: Callable[[Images, Labels], Images], model: Model, images: Images, labels: Labels, seed: int
) -> Images:
    """Attempts for the correctly classified images first, as pyautoattack draws them, then for the rest."""
    with torch.no_grad():
        correct = model(images).argmax(1) == labels
    attempts = images.clone()
    with seeded(seed):
        for subset in (correct, ~correct):
            if subset.any():
                attempts[subset] = single_run(images[subset].clone(), labels[subset].clone())
    return attempts.detach()
