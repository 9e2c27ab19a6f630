"""A test that stops running must fail the run: the rule about skips is itself held by runs that break it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import skips

ROOT = Path(__file__).parents[1]
FILE = """
import pytest

def test_listed():
    pytest.skip("no lab here: network namespaces need root")

def test_skips():
    pytest.skip("not today")

@pytest.mark.xfail(reason="known to be wrong")
def test_expected_to_fail():
    assert False

def test_runs():
    pass
"""


def run(folder: Path, name: str, text: str) -> str:
    """A pytest of its own over one file, with the rule and nothing else of ours."""
    (folder / "tests" / "lab").mkdir(parents=True, exist_ok=True)
    (folder / "tests" / "lab" / name).write_text(text)
    options = ["-p", "tests.skips", "-p", "no:cacheprovider", "-c", "/dev/null", "-q", "-ra", f"--rootdir={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder / "tests" / "lab" / name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=25.0,
    )
    assert done.returncode != 0, done.stdout
    return done.stdout


def test_only_a_listed_skip_is_a_skip(tmp_path: Path) -> None:
    said = run(tmp_path, "test_some.py", FILE)
    assert "2 failed, 1 passed, 1 skipped" in said
    assert "tests/lab/test_some.py::test_skips" in said
    assert "tests/lab/test_some.py::test_expected_to_fail" in said
    assert "tests/allowed-skips.txt does not list it: not today" in said


def test_a_file_that_skips_as_a_whole_fails_the_run(tmp_path: Path) -> None:
    said = run(tmp_path, "test_whole.py", "import pytest\n\npytest.importorskip('nonesuch')\n")
    assert "does not list it: could not import 'nonesuch'" in said


@pytest.mark.parametrize("line", ["tests/lab/*", "tests/lab/* | ", "tests/lab/* | *", " | a reason"])
def test_a_line_that_allows_without_a_reason_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"allowed-skips\.txt:2"):
        skips.parse(f"# for people\n{line}\n")


def test_a_bracket_in_a_tests_id_stands_for_itself() -> None:
    allowed = skips.AllowedSkip("tests/*::test_x[[]a]", "no * here")
    assert not allowed.covers("tests/x.py::test_x[a]", "no lab here")
    plain = skips.AllowedSkip("tests/*::test_x[a]", "no * here")
    assert plain.covers("tests/x.py::test_x[a]", "no lab here")
    assert not plain.covers("tests/x.py::test_xa", "no lab here")


def test_every_line_of_the_list_is_needed_by_some_test() -> None:
    """A line whose tests are gone allows tomorrow's skip."""
    names = [str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")]
    assert [one for one in skips.ALLOWED if not any(one.covers(f"{name}::test_x", one.reason) for name in names)] == []
