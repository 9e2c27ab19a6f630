"""The nearest valid word."""

from __future__ import annotations

import pytest

from calls_doctor.model.words import did_you_mean, nearest

MODES = ["integrated", "rtcd", "ha-clustered", "ha-handler", "ha-rtcd", "kubernetes"]


@pytest.mark.parametrize(("word", "expected"), [
    ("intergated", "integrated"), ("INTEGRATED", "integrated"), ("kubernets", "kubernetes"),
    ("ha-cluster", "ha-clustered"), ("rtdc", "rtcd"), ("banana", None), ("", None),
])  # fmt: skip
def test_the_word_that_is_spelt_most_alike(word: str, expected: str | None) -> None:
    assert nearest(word, MODES) == expected


def test_it_comes_as_it_is_spelt_in_the_list() -> None:
    assert nearest("json", ["JSON", "text"]) == "JSON"
    assert nearest("anything", []) is None


def test_of_words_that_differ_in_case_only_the_first_in_order_is_named() -> None:
    assert nearest("u", ["u", "U"]) == nearest("u", ["U", "u"]) == "U"


def test_the_end_of_the_sentence() -> None:
    assert did_you_mean("intergated", MODES) == 'did you mean "integrated"?'
    assert did_you_mean("banana", (mode for mode in ("text", "json"))) == "it is one of text, json"
