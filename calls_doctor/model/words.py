"""The nearest valid word, for sentences about a word that is not valid. It judges spelling only, never meaning."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

SIMILARITY_RATIO = 0.6
"""difflib's own cut-off: "intergated" finds "integrated" and "banana" finds nothing."""


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """The valid word that is spelt most like `word`, upper and lower case being the same; None where none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in sorted(valid, reverse=True)}
    found = get_close_matches(word.casefold(), by_folded, n=1, cutoff=SIMILARITY_RATIO)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """The half sentence that ends an error about an unknown word: the nearest, or all where none is near."""
    words = list(valid)
    near = nearest(word, words)
    return f'did you mean "{near}"?' if near else f"it is one of {', '.join(words)}"
