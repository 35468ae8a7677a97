"""The documentation names everything there is, and what it shows is what the code does."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import click
import pytest
import yaml
from conftest import REPOSITORY
from fracbench import registry, specs
from fracbench.cli import main
from fracbench.submission_schema import Submission

PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")])
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def loaded(file: Path):  # type: ignore[no-untyped-def]
    """A script as a module."""
    found = importlib.util.spec_from_file_location("script", file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def generator():  # type: ignore[no-untyped-def]
    return loaded(REPOSITORY / "docs" / "generate.py")


def test_the_table_of_speed_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = REPOSITORY / "tests" / "perf"
    monkeypatch.syspath_prepend(folder)
    table = loaded(folder / "__main__.py").table(folder / "cpu")
    assert table in (REPOSITORY / "docs" / "speed.md").read_text(), "paste what `python tests/perf --table` prints"


def test_generated_pages_are_up_to_date() -> None:
    for path, content in generator().pages().items():
        assert path.read_text() == content, f"run `python docs/generate.py`: {path.name} is behind the code"


def test_every_plugin_and_command_has_its_section() -> None:
    plugins, commands = ((REPOSITORY / "docs" / name).read_text() for name in ("plugins.md", "cli.md"))
    for kind in registry.KINDS:
        for name in registry.names(kind):
            assert f"### `{name}`" in plugins
    for name in main.commands:
        assert f"## fracbench {name}\n" in commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    for language, block in BLOCK.findall(page.read_text()):
        if language == "python":
            ast.parse(block)
        for line in block.splitlines() if language == "sh" else ():
            for words in re.findall(r"fracbench ((?:[\w./-]+ ?)+)", line.partition("#")[0]):
                command = main.commands[words.split()[0]]
                if isinstance(command, click.Group):
                    command = command.resolve_command(click.Context(command), words.split()[1:])[1]
                known = {option for parameter in command.params for option in parameter.opts}
                for option in re.findall(r"--[\w-]+", words):
                    assert option in known, f"{page.name}: {line}"
                for benchmark in re.findall(r"--benchmark (\S+)", words):
                    assert benchmark in specs.names()


def test_the_submission_in_the_text_is_valid() -> None:
    whole, elsewhere = [
        yaml.safe_load(text)
        for language, text in BLOCK.findall((REPOSITORY / "docs" / "submit.md").read_text())
        if language == "yaml"
    ]
    submission = Submission.model_validate(whole)
    assert Submission.model_validate(whole | elsewhere).weights != submission.weights
    registry.make("models", submission.model.name, submission.model.params)
    assert set(submission.benchmarks) <= set(specs.names())


def test_ci_runs_the_readmes_test_command() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    commands = re.findall(r"^pip install .*&& .*$", readme, re.MULTILINE)
    assert commands == ["pip install -e . && fracbench run --all", "pip install -e '.[test]' && pytest"]
