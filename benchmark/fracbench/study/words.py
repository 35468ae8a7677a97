"""What a study found, in sentences that follow from its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fracbench.study.protocols import EVERY
from fracbench.study.studied import CLEAN

Found = Mapping[str, Any]


def sentences(study: Found) -> list[str]:
    """The answer: of training pairs, across models, by the founding protocol and ours, against maps of no model."""
    said = [of_pairs(study), *against_others(study)]
    said += [across_words(ours_of(study), study["plan"]["level"]), founding(study)]
    return said + ([against_blind(study)] if blind_of(study) and study["primary"]["pairs"] else [])


def against_others(study: Found) -> list[str]:
    """What is left of the change where the standard half was trained otherwise, such as for as long."""
    return [_against(recipe, of[CLEAN], study["plan"]["level"]) for recipe, of in study["against"].items()]


def _against(recipe: str, of: Found, level: float) -> str:
    floor = f", where no p is below {p_words(of['least_p'])}" if of["least_p"] > level else ""
    return (f"Not registered: with {recipe} in place of the standard twin ({pairs_words(of)}) the change is "
            f"{change(of)}{floor}; of the same adversarial twins with their standard ones "
            f"({pairs_words(of['usual'])}), {change(of['usual'])}.")  # fmt: skip


def blind_of(study: Found) -> dict[str, Found]:
    """Maps that look at no model; one of randomised weights looks at a network."""
    return {name: of for name, of in study["blind"].items() if name != "randomised"}


def against_blind(study: Found) -> str:
    """Whether there was alignment to change: the pairs' scores beside the best map that looks at no model."""
    name, best = max(blind_of(study).items(), key=lambda of: of[1]["raw"])
    standard, adversarial = (_by_family(study["primary"]["each"], key) for key in ("standard", "adversarial"))
    return (f"For scale, in raw scores, which do not compare between coarse maps and fine ones: {name}, which looks at "
            f"no model, {best['raw']:.3f}, standard twins {standard:.3f}, adversarial {adversarial:.3f}.")  # fmt: skip


def _by_family(each: Sequence[Found], half: str) -> float:
    """Mean over architectures of their pairs' mean, as the change is counted."""
    scores: dict[str, list[float]] = {}
    for of in each:
        if of["n"]:
            scores.setdefault(of["family"], []).append(of["raw"][half])
    return sum(sum(of) / len(of) for of in scores.values()) / len(scores)


def of_pairs(study: Found) -> str:
    of, plan = study["primary"], study["plan"]
    if not of["pairs"]:
        return "No training pair has been evaluated whole, so the hypothesis has not been tested."
    numbers = f"{change(of)}, {pairs_words(of)}, {images_words([each for each in of['each'] if each['n']])}"
    if of["least_p"] > plan["level"]:
        few, least = counted(of["pairs"], "training pair"), p_words(of["least_p"])
        changed = "" if of["changed"] == of["pairs"] else f", of which {of['changed']} changed"
        return (f"Of {few}{changed}, p cannot be below {least}: "
                f"this does not test the hypothesis ({numbers}).")  # fmt: skip
    if of["p"] <= plan["level"]:
        more = "more" if of["value"] > 0 else "less"
        return (f"In these architectures adversarially trained twins look at the fracture {more} than their standard "
                f"twins ({numbers}).")  # fmt: skip
    if max(abs(of["low"]), abs(of["high"])) < plan["relevant"]:
        rest = f"and a change of {plan['relevant']:g} or more is ruled out"
    elif math.isnan(of["detectable"]):
        rest = "and pairs are too alike to say which change could have been found"
    else:
        rest = f"and a t test of so many pairs would often have missed one below {signed(of['detectable'])}"
    return f"No change in alignment by adversarial training can be told from chance ({numbers}), {rest}."


def ours_of(study: Found) -> Found:
    """The relation across all models by our protocol."""
    return next(of for of in study["across"] if of["change"] == EVERY)


def across_words(ours: Found, level: float = 0.05) -> str:
    rho, partial = ours["spearman"], ours["partial"]
    if math.isnan(rho["value"]):
        models = counted(ours["n"], "model")
        return f"{models}: too few, or too alike, to say how robustness and alignment go together."
    numbers = f"Spearman's rho {rho['value']:+.2f}, p {p_words(rho['p'])}, n = {ours['n']} models"
    held = "" if math.isnan(partial["value"]) else (
        f"; Pearson's with clean accuracy held fixed {partial['value']:+.2f}, p {p_words(partial['p'])}")  # fmt: skip
    if rho["p"] > level:
        return f"Across models no relation of robustness and alignment can be told from chance ({numbers}{held})."
    better = "better" if rho["value"] > 0 else "worse"
    return f"Across models the more robust are {better} aligned ({numbers}{held}); that is no proof of a cause."


def founding(study: Found) -> str:
    """Where the protocols part: the changes after which the conclusion is another, on the same models."""
    steps = [of for of in study["across"] if not of["change"].startswith(EVERY)]
    if not steps:
        return "This benchmark has not the attack and the maps of the founding protocol."
    if math.isnan(steps[0]["spearman"]["value"]):
        return f"{counted(steps[0]['n'], 'model')} for the founding protocol: too few, or too alike, to say anything."
    level = study["plan"]["level"]
    said = [conclusion(of["spearman"], level) for of in steps]
    first = steps[0]["spearman"]
    begun = (f"By the founding protocol the {counted(steps[0]['n'], 'model')} that have its maps and ours show "
             f"{said[0]} (rho {first['value']:+.2f}, p {p_words(first['p'])})")  # fmt: skip
    turns = [f"{now} once it reads {of['change']} (rho {signed(of['spearman']['value'], 2)})"
             for before, now, of in zip(said, said[1:], steps[1:], strict=False) if now != before]  # fmt: skip
    return f"{begun}; {'; '.join(turns)}." if turns else f"{begun}, as the same do by ours and all steps between."


def conclusion(of: Found, level: float) -> str:
    if math.isnan(of["p"]):
        return "nothing, since models are too alike,"
    if of["p"] > level:
        return "no relation that can be told from chance"
    return "better alignment with more robustness" if of["value"] > 0 else "worse alignment with more robustness"


def of_all_pairs(study: Found) -> dict[str, Found]:
    """What was registered, and the same without the pairs that had been seen by then."""
    seen = study["plan"]["seen_seeds"]
    apart = (
        {f"without seed {' and '.join(map(str, seen))}, of which pairs had been seen": study["unseen"]} if seen else {}
    )
    return {"all pairs (primary)": study["primary"]} | apart


def of_the_panel(study: Found) -> dict[str, Found]:
    """What all pairs say of the panel by other metrics, on other inputs, and by the founding study's maps."""
    return (
        {f"panel, {name}": of for name, of in study["other_metrics"].items()}
        | {f"panel, under {name}": of for name, of in study["under_attack"].items()}
        | {f"panel, {name} fractures": of for name, of in study["by_lesion_size"].items()}
        | {f"panel, {name} split": of for name, of in study["shifted"].items()}
        | {"the founding study's maps": study["founding_panel"]}
        | {
            f"panel, {recipe} in place of standard" + ("" if name == CLEAN else f", {name}"): of
            for recipe, by_input in study["against"].items()
            for name, of in by_input.items()
        }
    )


def change(of: Found) -> str:
    """``+0.012 [-0.034, +0.058], p 0.42``."""
    return f"{interval_of(of)}, p {p_words(of['p'])}"


def interval_of(of: Found) -> str:
    return f"{signed(of['value'])} [{signed(of['low'])}, {signed(of['high'])}]"


def signed(value: float, digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:+.{digits}f}"


def effect_of(of: Found) -> str:
    """Cohen's d_z, such as ``+0.31 [-0.42, +1.01]``."""
    if math.isnan(of["effect"]):
        return "–"
    return f"{signed(of['effect'], 2)} [{signed(of['effect_low'], 2)}, {signed(of['effect_high'], 2)}]"


def p_words(p: float) -> str:
    return "–" if math.isnan(p) else "< .001" if p < 0.001 else f"{p:.3f}"


def pairs_words(of: Found) -> str:
    return f"{counted(of['pairs'], 'training pair')} of {counted(of['families'], 'architecture')}"


def counted(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def images_words(each: Sequence[Found]) -> str:
    counts = sorted({of["n"] for of in each})
    return f"{counts[0]} images each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} images each"
