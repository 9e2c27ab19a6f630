"""Tests that weigh on the machine come one after another, and first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.side_by_side import HEAVY, HEAVY_FOLDERS, TESTS, group_of


def test_a_file_is_a_group_and_what_is_heavy_is_one() -> None:
    assert group_of(Path(__file__)) == str(Path(__file__))
    assert {group_of(TESTS / folder / "test_any.py") for folder in HEAVY_FOLDERS} == {HEAVY}
    assert group_of(Path("/elsewhere/lab/test_any.py")) == "/elsewhere/lab/test_any.py"


def test_the_heavy_folders_are_there() -> None:
    assert all((TESTS / folder).is_dir() for folder in HEAVY_FOLDERS)


def test_this_test_knows_its_group(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("xdist_group")
    assert marker is not None and marker.args == (group_of(Path(__file__)),)


def test_what_is_heavy_was_begun_first(request: pytest.FixtureRequest) -> None:
    groups = [group_of(item.path) for item in request.session.items]
    assert groups == sorted(groups, key=lambda group: group != HEAVY)
