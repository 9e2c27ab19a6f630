"""How text is set: colour or none, symbols or none, width, and nothing in it that a terminal would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.model.check import Status
from reports.style import COLOUR_OF_STATUS, SYMBOLS, Style, clean


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("unicode", [True, False])
def test_a_badge_says_the_word_in_one_width(status: Status, unicode: bool) -> None:
    style = Style(unicode=unicode)
    badge = style.badge(status)
    assert str(status) in badge
    assert len(badge) == style.badge_columns
    assert badge.isascii() is not (unicode and not SYMBOLS[list(Status).index(status)].isascii())


def test_every_status_has_a_colour_and_a_symbol_of_its_own() -> None:
    assert set(COLOUR_OF_STATUS) == set(Status)
    assert len(set(SYMBOLS)) == len(Status)


def test_colour_is_escapes_around_the_same_text() -> None:
    assert Style(colour=True).paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert Style(colour=False).paint("x", "red") == "x"


def test_lines_are_broken_between_words_and_never_in_one() -> None:
    address = "http://" + "a" * 60 + ".example.com:8045"
    lines = Style(width=40).wrap(f"what was asked is {address} and it was silent", "  ")
    assert any(line.strip() == address for line in lines)
    assert all(len(line) <= 40 for line in lines if address not in line)
    assert all(line.startswith("  ") for line in lines)


def test_a_command_that_fits_a_line_is_on_one_and_can_be_copied() -> None:
    command = "`tcpdump -ni any udp port 8443`"
    for before in range(1, 20):
        lines = Style(width=50).wrap("x" * before + f" shows it: {command}, as ever", "  ")
        assert any(command in line for line in lines)
        assert all(len(line) <= 50 for line in lines)
    long = "`" + "a " * 40 + "`"
    assert all(len(line) <= 50 for line in Style(width=50).wrap(f"type {long}", "  "))


def test_a_first_line_may_begin_otherwise() -> None:
    assert Style(width=40).wrap("a " * 30, "    ", "1. ")[0].startswith("1. a")


def test_a_terminal_of_a_few_columns_breaks_the_lines_itself() -> None:
    assert Style(width=3).wrap("two words", "") == ["two words"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 東京", "Grüße, 東京"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x9b2J", "\\x9b2J"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(text=st.text())
def test_no_text_whatever_moves_the_cursor_or_hides_another(text: str) -> None:
    assert not {unicodedata.category(char) for char in clean(text)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(text=st.text(), width=st.integers(0, 300))
def test_any_text_is_set_in_any_width(text: str, width: int) -> None:
    for line in Style(width=width).wrap(text, "  "):
        assert len(line) <= max(width, 40) or " " not in line.strip()
