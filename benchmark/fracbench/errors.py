"""What users see when something is wrong: one clear line that ends with what to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def printable(text: str) -> str:
    """``text`` on one line without control characters, which a stranger's file could send to a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


class InputError(ValueError):
    """The input is wrong: shown as it is, without a traceback, exit status 2.

    ``faults`` holds one line for each fault found.
    """

    def __init__(self, *faults: str) -> None:
        self.faults = [printable(fault) for fault in faults]
        super().__init__("\n".join(self.faults))


class Unsupported(Exception):
    """Raised by a plugin whose method is not valid for this network or threat; the message says why."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest choice, whatever its case, or an empty string."""
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    return f" Did you mean '{folded[near[0]]}'?" if near else ""
