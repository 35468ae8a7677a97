"""Ships every submission that has a YAML file as a starter inside the wheel."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class StartersHook(BuildHookInterface):  # type: ignore[type-arg]
    """An editable install reads ``submissions/`` of the checkout instead, so nothing is copied there."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for yaml_file in sorted(Path(self.root, "submissions").glob("*/submission.yaml")):
            for file in (yaml_file, *(yaml_file.parent / name for name in ("training.json", "weights.safetensors"))):
                if not file.is_file():
                    continue
                target = f"fracbench/starters/{yaml_file.parent.name}/{file.name}"
                build_data["force_include"][str(file)] = target
