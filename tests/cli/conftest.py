"""No variable of the tester's own counts in these tests."""

from __future__ import annotations

import os

import pytest

from tests.cli.command_line import OURS


@pytest.fixture(autouse=True)
def _a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS) and not name.startswith("PYTHON"):
            monkeypatch.delenv(name)
