# Invariant: whatever follows the upgrade, `receive` gives messages of at most MESSAGE_MAX_BYTES or raises Cut or
# HttpError, and nothing else; whole messages come out as they went in, however they were split and cut; whatever is
# said instead of 101 is FarEndError, HttpError or Cut, and no error repeats what was sent.

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import MonkeyPatch

from calls_doctor.errors import Cut, FarEndError, HttpError
from calls_doctor.net import websocket
from calls_doctor.net.streams import Stream
from calls_doctor.net.websocket import MESSAGE_MAX_BYTES, open_websocket
from tests.servers.api_servers import accepting, frame
from tests.servers.said_already import bringing

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
ACCEPTED = accepting(f"Sec-WebSocket-Key: {KEY}\r\n".encode())
CONT, BINARY, PING = 0, 2, 9
Found = tuple[list[bytes], str]
"""Messages, and the error that came after them."""


async def _found(pieces: list[bytes]) -> Found:
    messages: list[bytes] = []

    async with bringing(pieces) as stream:

        async def connected(_url: str, _timeout_s: float, **_: str) -> Stream:
            return stream

        with MonkeyPatch.context() as patch:
            patch.setattr(websocket, "connect", connected)
            patch.setattr("websockets.client.generate_key", lambda: KEY)
            headers = [("Authorization", "Basic canary")]
            try:
                async with open_websocket("ws://192.0.2.1:8045/ws", 5.0, headers=headers) as socket:
                    while True:
                        messages.append(await socket.receive())
            except (Cut, HttpError, FarEndError) as error:
                assert "canary" not in f"{error}{error!r}"
                return messages, type(error).__name__


def found(pieces: list[bytes]) -> Found:
    messages, error = asyncio.run(_found(pieces))
    assert all(len(message) <= MESSAGE_MAX_BYTES for message in messages)
    return messages, error


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Messages, and the bytes by which a server sends them: in fragments, with pings between."""
    messages = draw(st.lists(st.binary(max_size=300), max_size=4))
    sent = b""
    for message in messages:
        cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=3)))
        for number, (start, end) in enumerate(itertools.pairwise([0, *cuts, len(message)])):
            if draw(st.booleans()):
                sent += frame(PING, draw(st.binary(max_size=20)))
            sent += frame(BINARY if number == 0 else CONT, message[start:end], fin=number == len(cuts))
    return messages, sent


def split(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return (data[start:end] for start, end in itertools.pairwise(at))


@settings(deadline=None)
@given(conversations(), st.lists(st.integers(0), max_size=6))
def test_whole_messages_in_any_pieces(conversation: tuple[list[bytes], bytes], cuts: list[int]) -> None:
    messages, sent = conversation
    assert found(list(split(ACCEPTED + sent, cuts))) == (messages, "Cut")


@settings(deadline=None)
@given(conversations(), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3), st.integers(0))
def test_messages_cut_and_changed(
    conversation: tuple[list[bytes], bytes], changes: list[tuple[int, int]], at: int
) -> None:
    changed = bytearray(conversation[1] or b"\0")
    for index, value in changes:
        changed[index % len(changed)] = value
    cut = bytes(changed)[: at % (2 * len(changed))]
    assert found([ACCEPTED + cut]) == found([ACCEPTED, *(cut[n : n + 1] for n in range(len(cut)))])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_after_the_upgrade(pieces: list[bytes]) -> None:
    found([ACCEPTED, *pieces])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=3), st.integers(0), st.binary(max_size=20))
def test_any_answer_to_the_upgrade(changes: list[tuple[int, int]], at: int, more: bytes) -> None:
    changed = bytearray(ACCEPTED)
    for index, value in changes:
        changed[index % len(changed)] = value
    found([bytes(changed)[: at % (2 * len(changed))] + more])
