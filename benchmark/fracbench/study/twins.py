"""Which models belong together: training pairs, and series of one architecture trained at growing epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fracbench import recipes
from fracbench.benchmark_schema import StudyPlan
from fracbench.keyed import digest
from fracbench.schema import parse_epsilon
from fracbench.study.studied import Studied


@dataclass(frozen=True)
class Pair:
    """Two models of one network, data and seed by two recipes; ``family`` is architecture and size in words."""

    family: str
    seed: int
    standard: Studied
    adversarial: Studied


def families(models: Sequence[Studied], controls: bool = False) -> dict[tuple[str, int], list[Studied]]:
    """Models of the same network, training data, splits and seed; none without a stated seed or parameters.

    ``controls`` are let in where asked.
    """
    found: dict[tuple[str, int], list[Studied]] = {}
    for model in models:
        training = model.training
        if training["seed"] is None or model.row["parameters"] is None or (model.row["control"] and not controls):
            continue
        network = digest([model.network, training["data"], sorted(training["splits"] or ())])
        found.setdefault((network, int(training["seed"])), []).append(model)
    return found


def pairs(models: Sequence[Studied], plan: StudyPlan) -> tuple[list[Pair], list[str]]:
    """The training pairs by the recipes of the plan, and a line for each family where one is not to be told.

    The adversarial half is trained at the epsilon that its recipe states; others are steps of a series of doses.
    """
    stated = recipes.load(plan.adversarial).threat
    assert stated is not None, f"{plan.adversarial} trains against no attack"
    found, unclear = [], []
    for (_, seed), family in families(models).items():
        plain = [of for of in family if of.training["recipe"] == plan.standard and of.threat is None]
        robust = [
            of
            for of in family
            if of.training["recipe"] == plan.adversarial and epsilon_of(of, stated.norm) == stated.model.epsilon
        ]
        if len(plain) == len(robust) == 1:
            found.append(Pair(words_of(plain[0]), seed, plain[0], robust[0]))
        elif plain and robust:
            names = ", ".join(model.name for model in (*plain, *robust))
            unclear.append(f"{names}: alike in network, data and seed, but which two are twins is not to be told")
    return sorted(found, key=lambda of: (of.family, of.seed)), unclear


def series(models: Sequence[Studied], plan: StudyPlan, norm: str) -> list[list[tuple[float, Studied]]]:
    """Families whose adversarial recipe was run at two epsilons or more: (epsilon, model) by epsilon, standard at 0."""
    found = []
    for family in families(models).values():
        plain = [of for of in family if of.threat is None and of.training["recipe"] == plan.standard]
        robust = [of for of in family if of.training["recipe"] == plan.adversarial]
        doses = [(dose, of) for of in robust if (dose := epsilon_of(of, norm)) is not None]
        if len(plain) == 1 and len(doses) > 1:
            found.append([(0.0, plain[0]), *sorted(doses, key=lambda of: of[0])])
    return found


def epsilon_of(model: Studied, norm: str) -> float | None:
    """The epsilon a model was trained against; None where it states none in this norm."""
    stated = (model.threat or "").split()
    if len(stated) != 2 or stated[0].casefold() != norm:
        return None
    try:
        return parse_epsilon(stated[1])
    except ValueError:
        return None


def words_of(model: Studied) -> str:
    """Architecture and size, since several small networks share one name of timm's."""
    return f"{model.row['architecture']}, {model.row['parameters']:,} parameters"
