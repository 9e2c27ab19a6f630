"""The README leads nowhere that is not there, and holds the two commands that .ci/run and .ci/evidence take from it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_the_tree_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_two_commands_do_all_their_own_set_up_and_end_as_promised() -> None:
    commands = [
        subprocess.run(
            [sys.executable, ROOT / ".ci" / "readme_command.py", name], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("check", "tests")
    ]  # fmt: skip
    ends = [command.rsplit(" && ", 1)[1] for command in commands]
    assert ends == [".venv/bin/calls-doctor check", ".venv/bin/pytest"]
    for command in commands:
        assert command.startswith("python3 -m venv .venv && ")
        assert "\n" not in command
        assert "--require-hashes -r constraints.txt" in command


def test_the_code_is_read_in_five_steps() -> None:
    chapter = (ROOT / "README.md").read_text().split("## Read the code in this order")[1].split("\n## ")[0]
    assert re.findall(r"^(\d)\. ", chapter, re.MULTILINE) == ["1", "2", "3", "4", "5"]
