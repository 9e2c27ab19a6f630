"""Programs by name, and of their environment what was asked for and nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from calls_doctor.net import processes

NAME = "cd-test-service"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[int]:
    """A program of this name, with a proxy and a secret in its environment."""
    program = tmp_path / NAME
    program.write_text("#!/bin/sh\necho ready\nread -r end\n")
    program.chmod(0o755)
    told = {"HTTP_PROXY": "http://proxy:3128", "SECRET": "s3cr3t"}
    with subprocess.Popen([program], env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the kernel names a program a moment after it has begun to load it
        yield process.pid
        process.kill()


def test_a_program_is_found_by_its_short_name(service: int) -> None:
    assert processes.named(NAME) == [service]
    assert processes.named("no-such-program") == []


def test_only_the_variables_that_were_asked_for_are_told(service: int) -> None:
    assert processes.environment_of(service, ("HTTP_PROXY", "NO_PROXY")) == {"HTTP_PROXY": "http://proxy:3128"}


def test_what_may_not_be_read_is_not_known() -> None:
    assert processes.environment_of(2**22 + 1, ("HTTP_PROXY",)) is None
    assert processes.environment_of(os.getpid(), ()) == {}
