# Any text is either read or refused with one printable sentence that begins with the name of its place; what was read
# and is written again is read the same.

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls_doctor.errors import UsageError
from calls_doctor.site import options

PLACE = "a place"
READERS: dict[str, Callable[[str], object]] = {
    "stun": lambda text: options.stun_uri(text, PLACE),
    "turn": lambda text: options.turn_uri(text, PLACE),
    "url": lambda text: options.http_url(text, PLACE),
    "duration": lambda text: options.duration_s(text, PLACE),
    "host": lambda text: options.host(text, PLACE),
    "ports": lambda text: options.port_range(text, PLACE),
    "pair": lambda text: options.pair(text, PLACE),
    "mode": lambda text: options.mode(text, PLACE),
}
PIECES = st.lists(
    st.sampled_from(
        ["stun", "turn", "turns", "http", "https", ":", "//", "?", "transport=", "udp", "tcp", "[", "]", "::1",
         "1.2.3.4",
         "a.example", "0", "65536", "3478", "-", "=", "@", "#", "/", " ", "m", "ms", "%", "\0", "\u202e", "ü", "."]
    ),
    max_size=9,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@given(text=st.one_of(PIECES, st.text(max_size=80)))
@example(text="")
@example(text="http://[")
@example(text="turn:a:٣")
def test_any_text_is_read_or_refused(reader: str, text: str) -> None:
    try:
        READERS[reader](text)
    except UsageError as error:
        assert str(error).startswith(f"{PLACE}: ")
        assert str(error).isprintable()


@given(text=PIECES)
def test_what_was_read_is_read_again_the_same(text: str) -> None:
    for read in (options.stun_uri, options.turn_uri):
        try:
            uri = read(text)
        except UsageError:
            continue
        assert read(str(uri)) == uri
    try:
        url = options.http_url(text, PLACE)
    except UsageError:
        return
    assert options.http_url(url, PLACE) == url
