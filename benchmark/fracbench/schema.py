"""What YAML and JSON files may say: names, threat models, benchmark specs. No torch here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
)

SCHEMA_VERSION = 6
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,63}$"
PLUGIN_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
SHA256_PATTERN = r"^[0-9a-fA-F]{64}$"
FILE_PATTERN = r"^[ -~]{1,200}$"
SPLIT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
LINK_PATTERN = r"^https?://[!-~]{1,500}$"
PATTERN_ADVICE = {
    FILE_PATTERN: "write the name of a file beside the YAML, at most 200 plain letters",
    LINK_PATTERN: "write an http or https address",
    NAME_PATTERN: "use lower case, digits and -",
    PLUGIN_PATTERN: "use lower case, digits, - and _",
    SPLIT_PATTERN: "write the name of a split, such as train",
    SHA256_PATTERN: "write the 64 digits that `sha256sum FILE` prints",
}

Norm = Literal["linf", "l2"]
Given = Literal["reader", "mean_mask"]  # a second annotator's masks; where training fractures lie
Backend = Literal["fracbench", "quantus"]  # who computes the scores of attributions
CORRUPTIONS: Literal["corruptions"] = "corruptions"
ADAPTIVE = "adaptive"  # the attack that answers flags
THIRD_PARTY = "third-party"
SEVERITIES = (1, 2, 3, 4, 5)
# columns of alignment rows beside the spec's metrics
INSTANCES = ("instance_hit", "instance_recall")
SPREAD = ("concentration", "outside_anatomy")
STABILITY = ("rank_correlation", "top_overlap")
FAITHFULNESS = ("pixel_flipping", "sparseness")


# of bounded length and exponent: strangers write these too, and 1e999999999 is a number of a billion digits
_DECIMAL = r"[+-]?(\d{1,9}(\.\d{0,30})?|\.\d{1,30})(e[+-]?\d{1,2})?"
_FRACTION = re.compile(f"{_DECIMAL}(/{_DECIMAL})?", re.ASCII | re.IGNORECASE)


def parse_epsilon(text: str | int | float) -> float:
    """Turn a fraction such as ``2/255`` or ``0.5/255`` into a float.

    Raises ``ValueError`` for what is not a positive fraction; the common slip of writing ``4`` for ``4/255``
    is named. L2 radii of 1 and more are therefore written as a fraction too: ``2/1``.
    """
    written = str(text).strip()
    parts = written.split("/")
    try:
        if not _FRACTION.fullmatch(written):
            raise ValueError
        value = Fraction(parts[0]) / (Fraction(parts[1]) if len(parts) == 2 else 1)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"'{written[:40]}' is not a fraction; write an epsilon like 2/255") from None
    if value <= 0:
        raise ValueError(f"epsilon {written} is not positive; write a fraction like 2/255")
    if len(parts) == 1 and value >= 1:
        raise ValueError(f"epsilon {written} exceeds the pixel range [0, 1]; did you mean {written}/255?")
    return float(value)


def with_rounding(epsilon: float) -> float:
    """How far from the image float32 may measure what was projected into the ball of ``epsilon``."""
    return epsilon + 1e-6 * max(1.0, 2 * epsilon)


@dataclass(frozen=True)
class ThreatModel:
    """A ball of radius ``epsilon`` (pixels in [0, 1]) in the norm ``linf`` or ``l2``.

    Or ``corruptions``, which are no ball: ``epsilon`` is then the severity, a whole number from 1 to 5.
    """

    norm: Norm | Literal["corruptions"]
    epsilon: float

    def __post_init__(self) -> None:
        if self.norm == CORRUPTIONS:
            if self.epsilon not in SEVERITIES:
                raise ValueError(f"severity {self.epsilon} is not one of 1, 2, 3, 4, 5")
            return
        if self.norm not in ("linf", "l2"):
            raise ValueError(f"unknown norm '{self.norm}'; write linf or l2")
        if isinstance(self.epsilon, str):
            raise ValueError(f"epsilon is text; give a number: parse_epsilon('{self.epsilon}')")
        if not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon must be positive and finite, got {self.epsilon}")
        if self.norm == "linf" and self.epsilon > 1:
            hint = f"; did you mean {self.epsilon:g}/255?" if self.epsilon == int(self.epsilon) else ""
            raise ValueError(f"epsilon {self.epsilon:g} exceeds the pixel range [0, 1]{hint}")


def grey_epsilon(norm: str, side: int) -> float:
    """The epsilon from which all images of ``side`` pixels may become the same grey: only a constant answer remains."""
    return 0.5 if norm == "linf" else 0.5 * side


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _checked_epsilon(text: str) -> str:
    parse_epsilon(text)
    return text


Epsilon = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_checked_epsilon)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class PluginRef(StrictModel):
    """A registered plugin and its parameters; never an import path."""

    name: str = Field(pattern=PLUGIN_PATTERN, description="A registered name: `fracbench list` shows them.")
    params: dict[str, JsonValue] = Field(default={}, description="Its parameters; those left out have their defaults.")
