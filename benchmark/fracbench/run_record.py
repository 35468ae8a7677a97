"""What ``run.json`` says of a run."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from fracbench.keyed import digest
from fracbench.plan import Job
from fracbench.runner import Outcome
from fracbench.schema import SCHEMA_VERSION


def record_of(
    entry_fields: Mapping[str, Any],
    job: Job,
    outcome: Outcome,
    env: Mapping[str, Any],
    identity: str,
    evaluation: str = "",
    taken_from: str | None = None,
) -> dict[str, Any]:
    """``run.json``: what was run, on what, with what, and how each cell ended."""
    spec = job.spec
    return {
        "schema_version": SCHEMA_VERSION,
        **entry_fields,
        "spec": spec.name,
        "folder": job.folder_name,
        "spec_hash": digest(spec.decisive()),
        "resolved_spec": spec.model_dump(mode="json"),
        "resolved_params": {
            "attacks": [{"name": name, "norm": norm, "resolved": repr(of)} for name, norm, of in job.every_attack()],
            "explainers": {name: repr(explainer) for name, explainer in job.explainers.items()},
        },
        "dataset": spec.dataset.name,
        "split": job.split,
        "fingerprint": job.fingerprint,
        "threat": spec.threat.norm,
        "epsilon": spec.threat.epsilon,
        "ladder": list(spec.threat.ladder.epsilons) if spec.threat.ladder else [],
        "attacks": list(dict.fromkeys([*job.attacks, *(c["attack"] for c in outcome.cells if c["kind"] == "attack")])),
        "further_threats": [{"norm": of.norm, "epsilon": of.epsilon} for of in spec.further_threats],
        "black_box": job.black_box,
        "explainers": [*job.explainers, *spec.given],
        "panel": list(spec.panel),
        "metrics": list(spec.metrics),
        "custom": job.custom,
        "metrics_backend": job.metrics_backend,
        "random": outcome.random,
        "environment": dict(env),
        "device": env["device_name"] if env["device"] != "cpu" else f"cpu ({env['threads']} threads)",
        "seconds": outcome.seconds,
        "passes": outcome.passes,
        "identity": identity,
        "evaluation": evaluation,
        "taken_from": taken_from,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cells": outcome.cells,
    }
