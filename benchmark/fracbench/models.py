"""Around a network: the contract check, pass counting, and micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from fracbench.errors import InputError
from fracbench.folding import folded
from fracbench.tensors import Images, Logits
from fracbench.undisturbed import undisturbed

LEAST_TOGETHER = 2  # images: DeepLIFT sends one through together with its baseline


@dataclass
class Passes:
    """Images that went forward and backward through the network."""

    forward: int = 0
    backward: int = 0

    def minus(self, earlier: Passes) -> Passes:
        return Passes(self.forward - earlier.forward, self.backward - earlier.backward)

    def copy(self) -> Passes:
        return Passes(self.forward, self.backward)


class TooManyPasses(RuntimeError):
    """A plugin went on past the passes it declares: it hangs, or takes a larger budget than the spec gives."""


class NonFinite(RuntimeError):
    """The model gave NaN or infinity where an attack asked it."""


class OneLogit(nn.Module):
    """A one-logit network z, shape (batch, 1), as two logits (-z/2, z/2)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images) -> Logits:
        z: Tensor = self.network(images)
        return torch.cat([-z / 2, z / 2], dim=1)


class Guarded(nn.Module):
    """A checked model: counts passes, splits large batches, and keeps a module even for a plain function.

    Beyond ``micro_batch`` images each slice is recomputed in the backward pass, so that memory stays
    that of one micro-batch; what is recomputed is not counted again. ``quick`` is the same function in fewer steps,
    which answers wherever nobody needs to see the layers of ``network``.
    """

    def __init__(self, network: nn.Module, micro_batch: int = 64, quick: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.quick = quick
        self._layered = False
        self.micro_batch = micro_batch
        self.passes = Passes()
        self._limit: Passes | None = None
        self._refereed = False

    def fits(self, record: Mapping[str, Any]) -> None:
        """Begin with no larger micro-batch than an earlier cell of this model came down to, as its ``record`` says."""
        self.micro_batch = min(self.micro_batch, record.get("micro_batch", self.micro_batch))

    @contextmanager
    def layered(self) -> Iterator[None]:
        """Inside, ``network`` itself answers, for those who hook or change its layers."""
        before, self._layered = self._layered, True
        try:
            yield
        finally:
            self._layered = before

    @contextmanager
    def refereed(self) -> Iterator[None]:
        """Inside, non-finite logits and gradients raise ``NonFinite``: an attack would take them for no progress."""
        self._refereed = True
        try:
            yield
        finally:
            self._refereed = False

    @contextmanager
    def limited(self, forward: int, backward: int) -> Iterator[None]:
        """Inside, more passes than these raise ``TooManyPasses``."""
        self._limit = Passes(self.passes.forward + forward, self.passes.backward + backward)
        try:
            yield
        finally:
            self._limit = None

    def _count(self, forward: int = 0, backward: int = 0) -> None:
        self.passes.forward += forward
        self.passes.backward += backward
        limit = self._limit
        if limit and (self.passes.forward > limit.forward or self.passes.backward > limit.backward):
            raise TooManyPasses("the plugin takes more passes through the model than its 'passes' declares")

    def forward(self, images: Images) -> Logits:
        self._count(forward=len(images))
        parts = images.split(self.micro_batch)
        network = self.network if self.quick is None or self._layered else self.quick
        if len(parts) == 1:
            logits: Tensor = network(images)
        elif torch.is_grad_enabled() and images.requires_grad:
            modes = _get_current_function_mode_stack()

            def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
                return nullcontext(), _Within(modes)

            logits = torch.cat([checkpoint(network, part, use_reentrant=False, context_fn=contexts) for part in parts])
        else:
            logits = torch.cat([network(part) for part in parts])
        logits = logits.float()
        if torch.is_grad_enabled() and images.requires_grad and not logits.requires_grad:
            logits = logits + 0 * images.flatten(1).sum(
                1, keepdim=True
            )  # steps all the way: a gradient of zero, not none
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count(backward=len(images)))
        if self._refereed:
            _finite(logits.detach(), "logit")
            if images.requires_grad:
                images.register_hook(lambda gradient: None if gradient is None else _finite(gradient, "gradient"))
        return logits


class _Within:
    """What an attack changes about functions, which must hold where a slice is recomputed, however often, too."""

    def __init__(self, modes: Sequence[TorchFunctionMode]) -> None:
        self._modes, self._entered = modes, ExitStack()

    def __enter__(self) -> None:
        self._entered = ExitStack()
        for mode in self._modes:
            self._entered.enter_context(mode)

    def __exit__(self, *error: object) -> None:
        self._entered.close()


def _finite(values: Tensor, what: str) -> None:
    bad = int((~values.isfinite()).flatten(1).any(1).sum())
    if bad:
        raise NonFinite(f"the model gave a non-finite {what} on {bad} of {len(values)} images")


def out_of_memory(error: Exception) -> bool:
    """Whether a computation failed for want of memory, on a card or on the machine."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def smaller(model: Guarded, error: Exception) -> bool:
    """Halve the micro-batch where a computation failed for want of memory, to try again.

    False where that was not the reason, or where it is the smallest there is already.
    """
    if not out_of_memory(error) or model.micro_batch <= LEAST_TOGETHER:
        return False
    model.micro_batch = max(LEAST_TOGETHER, model.micro_batch // 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # what the failed computation left reserved
    return True


class _Function(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Images) -> Tensor:  # of any shape, until guard has looked
        return self.function(images)  # type: ignore[operator]


def guard(
    model: object, image_size: int, device: str | torch.device = "cpu", micro_batch: int = 64, *, fold: bool = False
) -> Guarded:
    """Check a model's contract on two images and wrap it; with ``fold``, a quicker copy answers attacks.

    A network with one logit is wrapped to two; any other output, a wrong size or a non-finite logit
    raises ``InputError`` with what it returned.
    """
    if isinstance(model, Guarded):
        return model
    if not callable(model):
        raise InputError(f"a model must be callable, got {type(model).__name__}")
    network: nn.Module = model if isinstance(model, nn.Module) else _Function(model)
    # two unlike images, and one of them alone: a network that mixes its batch gives it another answer
    probe = torch.linspace(0, 1, 2 * image_size**2, device=device).view(2, 1, image_size, image_size)
    try:
        with undisturbed(network), torch.no_grad():
            logits, again, alone = network(probe), network(probe), network(probe[:1])
    except Exception as error:
        raise InputError(
            f"the model fails on images of shape {tuple(probe.shape)}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(logits, Tensor):
        raise InputError(f"the model must return a tensor of shape (batch, 2), got {type(logits).__name__}")
    if logits.shape[1:] and alone.shape[1:] == logits.shape[1:] and torch.allclose(logits, again, equal_nan=True):
        scale = float(logits.detach().abs().max().nan_to_num()) + 1
        if not torch.allclose(alone[0], logits[0], rtol=0, atol=1e-3 * scale, equal_nan=True):
            raise InputError("the model answers otherwise for an image alone than in a batch; it must not mix images")
    if logits.shape == (2, 1):
        network = OneLogit(network)
    elif logits.shape != (2, 2):
        raise InputError(
            f"the model must return logits of shape (batch, 2), got {tuple(logits.shape)} for a batch of 2"
        )
    if not torch.isfinite(logits).all():
        raise InputError("the model returns non-finite logits (NaN or infinity); check its weights")
    with undisturbed(network):
        noise = torch.rand(probe.shape, generator=torch.Generator().manual_seed(0)).to(device)
        quick = folded(network, noise) if fold else None
    return Guarded(network, micro_batch, quick)
