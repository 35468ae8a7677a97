"""Files for people who change fracbench: they parse, agree with each other, and name what exists."""

from __future__ import annotations

import re
import subprocess
import tomllib

import fracbench
import pytest
import torch
import yaml
from conftest import REPOSITORY
from fracbench.contracts import label_margin
from fracbench.tensors import Images, Logits
from jaxtyping import TypeCheckError, jaxtyped
from shapes import check

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
TEMPLATES = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert fracbench.__version__ == PROJECT["version"] == citation["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", fracbench.__version__)
    released = re.findall(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] in ("Unreleased", fracbench.__version__)


def test_hooks_make_and_ci_check_the_same() -> None:
    commands = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    makefile = (REPOSITORY / "Makefile").read_text()
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert lint is not None
    wanted = [line.strip() for line in lint[1].splitlines()]
    assert len(wanted) == 4 and set(wanted) < set(commands)
    (local,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {" ".join(hook["entry"].split()[:2]).replace(" --fix", "") for hook in local["hooks"]}
    assert hooks == {re.sub(r" (--check )?\.$", "", command) for command in wanted}


def test_make_lists_its_commands_and_contributing_has_each() -> None:
    shown = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    targets = [line.split()[0] for line in shown.splitlines()]
    assert targets == ["install", "test", "lint", "docs", "board"]
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert all(f"make {target}" in text for target in targets)


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_issue_templates_are_forms(file) -> None:  # type: ignore[no-untyped-def]
    form = yaml.safe_load(file.read_text())
    if file.name == "config.yml":
        return
    assert form["name"] and form["description"] and form["body"]
    for part in form["body"]:
        assert part["type"] in ("input", "textarea") and part["id"] and part["attributes"]["label"]


def test_every_page_is_in_the_site() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text()
    listed = set(re.findall(r"[\w-]+\.md", text.partition("\nnav:")[2]))
    assert listed == {page.name for page in (REPOSITORY / "docs").glob("*.md")}


def test_shapes_are_checked_as_they_are_annotated() -> None:
    for logits, labels, word in ((torch.zeros(3, 3), torch.zeros(3).long(), "logits"),
                                 (torch.zeros(3, 2), torch.zeros(4).long(), "labels"),
                                 (torch.zeros(3, 2), torch.zeros(3), "labels")):  # fmt: skip
        with pytest.raises(TypeCheckError, match=word):
            label_margin(logits, labels)
    assert label_margin(torch.zeros(3, 2), torch.zeros(3).long()).shape == (3,)


def test_what_is_returned_is_checked_too() -> None:
    def flat(images):  # type: ignore[no-untyped-def]
        return images.flatten()

    flat.__annotations__ = {"images": Images, "return": Logits}
    with pytest.raises(TypeCheckError, match="return value"):
        jaxtyped(flat, typechecker=check)(torch.zeros(3, 1, 4, 4))


def test_every_module_that_names_a_tensor_is_checked() -> None:
    source = REPOSITORY / "benchmark"
    found = {str(file.relative_to(source).with_suffix("")).replace("/", ".") for file in source.rglob("*.py")
             if "from fracbench.tensors import" in file.read_text()}  # fmt: skip
    options = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["addopts"]
    *checked, _, _ = options.partition("--jaxtyping-packages=")[2].split(",")
    assert set(checked) == found
