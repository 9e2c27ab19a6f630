"""docs/adding-a-check.md tells the truth: its diff, applied to a copy of the tree, adds a check that is everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs import generate
from reports import FORMATS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-check.md"
NEW = "env.open-files"


def applied(text: str, diff: str) -> str:
    """The text with the diff's hunks applied: each block of context and removed lines must be there, once."""
    for hunk in re.split(r"^@@.*@@\n", diff, flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines(keepends=True)
        # A hunk that begins with new lines is anchored by the context that follows them.
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        anchored = text.count(old)
        assert anchored == 1, f"the page's context is {anchored} times in the file:\n{old}"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with the page's diff applied."""
    copy = tmp_path_factory.mktemp("tree")
    for package in ("calls_doctor", "checks", "reports", "docs"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    (found,) = re.findall(r"```diff\n(.*?)```", PAGE.read_text(), re.DOTALL)
    name, diff = re.fullmatch(r"--- a/\S+\n\+\+\+ b/(\S+)\n(.*)", found, re.DOTALL).groups()  # type: ignore[union-attr]  # no match: the test fails
    (copy / name).write_text(applied((copy / name).read_text(), diff))
    return copy


def run(tree: Path, *arguments: str) -> str:
    """The tree's own program, whatever is installed: its packages come first on the path."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, capture_output=True, text=True, check=False, timeout=25.0,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_listed(tree: Path) -> None:
    assert NEW in run(tree, "-m", "calls_doctor", "check", "--self-test", "--list")
    assert NEW not in run(ROOT, "-m", "calls_doctor", "check", "--self-test", "--list")


def test_it_is_explained(tree: Path) -> None:
    page = run(tree, "-m", "calls_doctor", "explain", NEW)
    assert "The doctor may open as many sockets as it needs" in page
    assert "ulimit -n" in page


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_it_is_run_and_shown_in_every_format(tree: Path, name: str) -> None:
    shown = run(tree, "-m", "calls_doctor", "check", "--self-test", "--only", NEW, "--format", name)
    assert NEW in shown
    if name == "json":
        (result,) = json.loads(shown)["checks"]
        assert (result["id"], result["status"]) == (NEW, "pass")
        assert result["evidence"]["open_files_limit"] >= 256


def test_it_is_in_the_documentation(tree: Path) -> None:
    assert f"## {NEW}" not in generate.page()
    assert f"## {NEW}" in run(tree, "-c", "from docs import generate; print(generate.page())")
