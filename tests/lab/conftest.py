"""What the labs' tests share: a private authority, and variables for what runs on the machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.lab import two_hosts
from tests.lab.standing import authority_of_the_lab

Environment = Callable[[str, str], None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Sets a variable for what runs on the machines, until the test's end."""
    return lambda name, value: monkeypatch.setitem(two_hosts.HERE, name, value)


@pytest.fixture
def authority(tmp_path: Path, environment: Environment) -> trustme.CA:
    """A private authority that the machines trust."""
    return authority_of_the_lab(tmp_path, environment)
