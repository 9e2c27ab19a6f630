# Invariant: whatever the text, `parse` gives a Description or raises SdpError; and what it takes can be answered (or
# refused with SdpError), in lines that it reads again.

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import SdpError
from calls_doctor.model.flow import Transport
from calls_doctor.wire import sdp

TEXTS = [path.read_bytes().decode() for path in sorted((Path(__file__).parent.parent / "data" / "sdp").glob("*.sdp"))]
LINES = sorted({line for text in TEXTS for line in text.split("\r\n") if line})
CANDIDATES = [line.removeprefix("a=") for line in LINES if line.startswith("a=candidate:")]


def parsed(text: str) -> None:
    try:
        offer = sdp.parse(text)
        candidate = sdp.host_candidate(Transport.UDP, "192.0.2.1", 1)
        answer = sdp.answer(offer, candidate, "abcd", "p" * 22, bytes(32), 1)
    except SdpError:
        return
    assert sdp.parse(answer).mids == offer.mids
    assert answer.count("m=") >= len(offer.media)


@given(st.text())
def test_any_text(text: str) -> None:
    parsed(text)
    parsed("v=0\r\n" + text)


@given(st.lists(st.sampled_from(LINES), max_size=60))
def test_real_lines_in_any_order(lines: list[str]) -> None:
    parsed("\r\n".join(["v=0", *lines, ""]))


@given(st.sampled_from(TEXTS), st.data())
def test_truncations_and_mutations_of_real_descriptions(text: str, data: st.DataObject) -> None:
    parsed(text[: data.draw(st.integers(0, len(text)))])
    at = data.draw(st.integers(0, len(text) - 1))
    parsed(text[:at] + data.draw(st.text(max_size=8)) + text[at + data.draw(st.integers(0, 8)) :])


@given(st.one_of(st.text(), st.sampled_from(CANDIDATES)), st.text(max_size=4), st.integers(0, 80))
def test_candidates(value: str, put: str, at: int) -> None:
    with contextlib.suppress(SdpError):
        candidate = sdp.parse_candidate(value[:at] + put + value[at + len(put) :])
        assert sdp.parse_candidate(str(candidate)).address == candidate.address
