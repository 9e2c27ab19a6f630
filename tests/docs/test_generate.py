"""docs/checks.md is what the tables of checks make of it."""

from __future__ import annotations

from checks import CHECKS
from docs import generate


def test_the_page_is_the_one_that_the_tables_make() -> None:
    assert generate.PAGE.read_text() == generate.page(), "run: python -m docs.generate"


def test_every_check_is_on_it_with_what_its_failure_means() -> None:
    page = generate.page()
    for spec in CHECKS:
        assert f"\n## {spec.id}\n" in page
        assert spec.fails_when in page
