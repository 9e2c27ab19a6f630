"""How a text is set: width, colour, symbols. Decided once by who writes it; a report never asks the terminal."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from dataclasses import dataclass

from calls_doctor.model.check import Status

WIDTH_MIN = 40
"""Narrower than this, lines are left to the terminal to break."""
_SYMBOLS = {
    Status.PASS: "√",
    Status.WARN: "‼",
    Status.FAIL: "×",
    Status.UNKNOWN: "?",
    Status.SKIP: "-",
    Status.ERROR: "!",
}
SYMBOLS = "".join(_SYMBOLS.values())
"""All symbols: whoever picks `unicode` tries whether the stream can encode these."""
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}
COLOUR_OF_STATUS = {
    Status.PASS: "green",
    Status.WARN: "yellow",
    Status.FAIL: "red",
    Status.UNKNOWN: "magenta",
    Status.SKIP: "dim",
    Status.ERROR: "red",
}
_COMMAND = re.compile(r"`[^`]+`")
"""A command in a sentence."""
_GLUE = "\0"
"""Stands for a space that no line may be broken at; the text itself holds no such character any more."""
BESIDE_COMMAND_COLUMNS = 4
"""What may stand to a command without a space: punctuation, a parenthesis."""
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that move the cursor, hide or reorder text: what a far end wrote must not do that here."""


@dataclass(frozen=True)
class Style:
    """One way of setting text. `verbosity`: -1 quiet, 0, 1 or more for the evidence too."""

    colour: bool = False
    width: int = 80
    """In columns."""
    unicode: bool = True
    """False where the stream cannot encode the symbols; words carry the meaning in any case."""
    verbosity: int = 0

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour of the table, or as it is."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour else text

    def badge(self, status: Status) -> str:
        """The status as symbol and word, padded to one width."""
        symbol = f"{_SYMBOLS[status]} " if self.unicode else ""
        return self.paint(f"{symbol}{status:<7}", COLOUR_OF_STATUS[status])

    @property
    def badge_columns(self) -> int:
        """How wide a badge is."""
        return 9 if self.unicode else 7

    def wrap(self, text: str, indent: str, first: str | None = None) -> list[str]:
        """Lines of at most `width` columns; words are never broken, so that an address can be copied whole, and nor is
        a command between backticks that fits a line."""
        width, first = max(self.width, WIDTH_MIN), indent if first is None else first
        room = width - max(len(indent), len(first)) - BESIDE_COMMAND_COLUMNS
        lines = textwrap.wrap(
            _COMMAND.sub(
                lambda found: found[0].replace(" ", _GLUE) if len(found[0]) <= room else found[0], clean(text)
            ),
            width=width,
            initial_indent=first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [line.replace(_GLUE, " ") for line in lines]


def clean(text: str) -> str:
    """The text with everything that a terminal would obey written out as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode("ascii") if unicodedata.category(c) in _UNSAFE else c for c in text
    )
