"""`python -m calls_doctor` is the same program as `calls-doctor`, from wherever it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from calls_doctor import __version__

ROOT = Path(__file__).parents[1]


def called(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "calls_doctor", *arguments],
        cwd=cwd, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip


def test_it_is_called_by_its_name_and_not_by_its_file(tmp_path: Path) -> None:
    done = called("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"calls-doctor {__version__}\n", "")


def test_its_exit_code_is_the_commands(tmp_path: Path) -> None:
    done = called("chekc", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'did you mean "check"?' in done.stderr


def test_packages_of_the_same_name_where_it_is_called_do_not_hide_ours(tmp_path: Path) -> None:
    """`-m` puts the current folder first, and `checks` and `reports` are names that other projects have too."""
    for name in ("checks", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('somebody else')", encoding="utf-8")
    done = called("explain", "stun.reach", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("stun.reach")


def test_importing_it_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import calls_doctor.__main__"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
