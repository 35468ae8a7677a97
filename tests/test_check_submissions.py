"""A submission as a pull request: what has changed is checked, by the same script here and in the workflow."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

SCRIPT = ".ci/check_submissions"
STUB = """#!/usr/bin/env bash
printf '%s|' "$@" >> "$CALLS"; echo >> "$CALLS"
case "$*" in "validate -- submissions/bad"*) exit 2;; doctor*ill) exit 1;; doctor*odd) exit 2;; esac
"""


class Repository:
    """A git repository with the script, two submissions on main, and a ``fracbench`` that notes how it is called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder / "repository", folder / "calls"
        (self.folder / ".ci").mkdir(parents=True)
        shutil.copy(REPOSITORY / SCRIPT, self.folder / SCRIPT)
        (folder / "bin").mkdir()
        (folder / "bin" / "fracbench").write_text(STUB)
        (folder / "bin" / "fracbench").chmod(0o755)
        who = {f"GIT_{role}_{key}": "a@b" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        self.environment = os.environ | who | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(self.calls),
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }  # fmt: skip
        self.git("init", "-q", "-b", "main")
        for name in ("old", "other"):
            self.write(f"submissions/{name}/submission.yaml")
        self.commit()
        self.git("checkout", "-q", "-b", "mine")

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.folder, env=self.environment, check=True, capture_output=True)

    def write(self, file: str, text: str = "a: b\n") -> None:
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / file).write_text(text)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")

    def check(self, *words: str) -> tuple[int, list[str], str]:
        """Exit status, the calls of ``fracbench``, and what was printed."""
        done = subprocess.run([self.folder / SCRIPT, *words], env=self.environment, capture_output=True, text=True)
        called = self.calls.read_text().splitlines() if self.calls.exists() else []
        return done.returncode, called, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def calls(*names: str) -> list[str]:
    return [call for name in names for call in (f"validate|--|submissions/{name}|",
                                                f"doctor|--submissions|submissions|--|{name}|")]  # fmt: skip


def test_only_what_has_changed_is_checked_each_once(repository: Repository) -> None:
    assert repository.check() == (0, [], "no submission differs from main\n")
    repository.write("submissions/new/submission.yaml")
    repository.write("submissions/new/weights.safetensors")
    repository.write("README.md")
    repository.commit()
    repository.write("submissions/old/submission.yaml", "a: c\n")
    repository.write("submissions/untracked/submission.yaml")
    repository.write("submissions/submission.schema.json", "{}")
    shutil.rmtree(repository.folder / "submissions" / "other")
    status, called, _ = repository.check("main")
    assert status == 0 and called == calls("new", "old", "untracked")


def test_what_others_have_merged_since_is_not_checked(repository: Repository) -> None:
    repository.write("submissions/new/submission.yaml")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write("submissions/old/submission.yaml", "a: c\n")
    repository.commit()
    repository.git("checkout", "-q", "mine")
    assert repository.check()[1] == calls("new")


@pytest.mark.parametrize(
    "names, status", [(["ill", "well"], 1), (["bad", "ill"], 2), (["ill", "zbad"], 1), (["odd", "well"], 2)]
)
def test_the_status_tells_and_all_are_checked(names: list[str], status: int, repository: Repository) -> None:
    for name in names:
        repository.write(f"submissions/{name}/submission.yaml")
    found, called, _ = repository.check()
    assert found == status
    assert called == [call for call in calls(*names) if call != "doctor|--submissions|submissions|--|bad|"]


def test_a_strangers_name_is_no_option_and_no_code(repository: Repository) -> None:
    for name in ("--help", "$(touch pwned)", "a b", "new\nline"):
        repository.write(f"submissions/{name}/submission.yaml")
    status, called, _ = repository.check()
    assert status == 0 and "validate|--|submissions/--help|" in called and "validate|--|submissions/a b|" in called
    assert "validate|--|submissions/$(touch pwned)|" in called and not list(repository.folder.rglob("pwned"))


@pytest.mark.parametrize("commit", [True, False])
def test_links_are_refused_and_not_followed(repository: Repository, commit: bool) -> None:
    repository.write("docs/evil/submission.yaml")
    repository.write("submissions/well/submission.yaml")
    (repository.folder / "submissions" / "evil").symlink_to("../docs/evil")
    shutil.rmtree(repository.folder / "submissions" / "old")
    (repository.folder / "submissions" / "old").symlink_to("../docs/evil")
    (repository.folder / "submissions" / "inner").mkdir()
    (repository.folder / "submissions" / "inner" / "submission.yaml").symlink_to("../../docs/evil/submission.yaml")
    (repository.folder / "submissions" / "a\nb").symlink_to("nowhere")
    if commit:
        repository.commit()
    status, called, printed = repository.check()
    assert status == 2 and called == calls("well"), "the others are checked"
    assert sorted(printed.splitlines()) == [
        f"error: {name} is a link, or another repository; put a folder with the files themselves there"
        for name in (r"$'submissions/a\nb'", "submissions/evil", "submissions/inner/submission.yaml", "submissions/old")
    ]


def test_a_folder_of_submissions_that_is_a_link_is_refused(repository: Repository) -> None:
    (repository.folder / "submissions").rename(repository.folder / "elsewhere")
    (repository.folder / "submissions").symlink_to("elsewhere")
    repository.commit()
    status, called, printed = repository.check()
    assert status == 2 and not called and printed.startswith("error: submissions is a link")
    assert len(printed.splitlines()) == 1


def test_a_base_that_is_not_there_is_one_line(repository: Repository) -> None:
    for base in ("nowhere", "--output=x"):
        status, called, printed = repository.check(base)
        assert status == 2 and not called and printed.startswith(f"error: no commit '{base}' to compare with")
        assert len(printed.splitlines()) == 1 and not (repository.folder / "x").exists()


def test_the_workflow_runs_the_script_without_any_right() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "submission.yml").read_text())
    assert list(workflow[True]) == ["pull_request"] and workflow[True]["pull_request"]["paths"] == ["submissions/**"]
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] <= 60 and "permissions" not in job
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["pip install -e .", f'{SCRIPT} "$BASE"'], "what a stranger names reaches the shell as a variable"
    assert os.access(REPOSITORY / SCRIPT, os.X_OK)
    assert job["steps"][0]["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert "secrets" not in (REPOSITORY / ".github" / "workflows" / "submission.yml").read_text().replace(
        "without secrets", ""
    )
