# Invariant: whatever a far end says and in whatever pieces, GET gives an answer whose status and body are bounded, or
# raises HttpError or Cut, and nothing else; an answer that was whole says the same in one piece and byte by byte, and
# no error repeats what was sent.

from __future__ import annotations

import asyncio

from hypothesis import example, given, settings
from hypothesis import strategies as st

from calls_doctor.errors import Cut, HttpError
from calls_doctor.net.http import BODY_MAX_BYTES, HttpAnswer, get_over
from calls_doctor.net.rtcd_client import version_of
from tests.servers.said_already import bringing

URL = "http://id:canary@192.0.2.1:8045/version"
SENT = [("Authorization", "Basic canary")]
VERSION = b'{"buildVersion":"v1","buildHash":"","goVersion":"go1"}'
REAL = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(VERSION), VERSION),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n",
    b"HTTP/1.0 502 Bad Gateway\r\nServer: x\r\n\r\n<html>until the end</html>",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x82\x05hello",
]
PIECES = st.lists(st.binary(max_size=60), max_size=12)


async def _got(pieces: list[bytes]) -> HttpAnswer | str:
    async with bringing(pieces) as stream:
        try:
            return await get_over(stream, URL, 5.0, SENT)
        except (HttpError, Cut) as error:
            assert "canary" not in f"{error}{error!r}"
            return type(error).__name__


def check(pieces: list[bytes]) -> HttpAnswer | str:
    got = asyncio.run(_got(pieces))
    if isinstance(got, HttpAnswer):
        assert 200 <= got.status <= 999 and len(got.body) <= BODY_MAX_BYTES
        assert all(name == name.lower() for name, _ in got.headers)
        version = version_of(got)
        assert version is None or got.status == 200
    return got


@settings(deadline=None)
@given(PIECES)
@example([b"Basic canary"])
@example([b"HTTP/1.1 200 Basic canary\r\n\r\n"])
def test_any_bytes(pieces: list[bytes]) -> None:
    check(pieces)


@settings(deadline=None)
@given(PIECES, st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]))
def test_any_bytes_after_a_beginning(pieces: list[bytes], beginning: bytes) -> None:
    check([beginning, *pieces])


@settings(deadline=None)
@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3), st.integers(0))
def test_real_answers_cut_and_changed(answer: bytes, changes: list[tuple[int, int]], at: int) -> None:
    changed = bytearray(answer)
    for index, value in changes:
        changed[index % len(changed)] = value
    cut = bytes(changed)[: at % (2 * len(changed))]
    whole, in_pieces = check([cut]), check([cut[n : n + 1] for n in range(len(cut))])
    assert whole == in_pieces


@given(st.binary(max_size=300))
def test_any_version(body: bytes) -> None:
    for one in (body, VERSION[: len(body)] + body):
        version = version_of(HttpAnswer(200, [], one, 0.0))
        assert version is None or len(version) <= 64
