"""Which tests may run beside each other (pytest-xdist's groups; pyproject.toml says how many at a time).

A file is played by one worker. Whole networks, other programs and measurements come one after another, as they weigh on
the machine and are weighed by it: they are begun first, so that nothing waits for them in the end.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
HEAVY = "heavy"
HEAVY_FOLDERS = ("lab", "browser", "interop", "benchmarks")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test with its group."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item.path)))
    items.sort(key=lambda item: group_of(item.path) != HEAVY)


def group_of(file: Path) -> str:
    """The group that a test's file belongs to."""
    folder = file.relative_to(TESTS).parts[0] if file.is_relative_to(TESTS) else ""
    return HEAVY if folder in HEAVY_FOLDERS else str(file)
