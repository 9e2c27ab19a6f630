"""The other end of an SCTP association, which sends whatever a test writes. Its packets have a right checksum and tag,
so that what is in them is what is tried."""

from __future__ import annotations

from collections.abc import Callable

from aiortc.rtcsctptransport import (
    SCTP_STATE_COOKIE,
    Chunk,
    CookieEchoChunk,
    DataChunk,
    InitAckChunk,
    InitChunk,
    parse_packet,
    serialize_packet,
)

from calls_doctor.net.sctp import PORT, Association

TAG, FIRST_TSN = 77, 1000
WHOLE = 3
"""Flags of a DATA chunk that is a whole message."""
DCEP, TEXT, BINARY = 50, 51, 53
OPEN = b"\x03" + bytes(11)
"""DATA_CHANNEL_OPEN of a reliable channel without a name."""


class Raw(Chunk):
    """Chunks as bytes, one after the other."""

    def __init__(self, *chunks: bytes) -> None:
        super().__init__()
        self._chunks = b"".join(chunks)

    def __bytes__(self) -> bytes:
        return self._chunks


def chunk(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """One, padded."""
    made = Chunk(flags, body)
    made.type = kind
    return bytes(made)


class SctpClient:
    """`client.establish()`, then `client.send(client.data(TEXT, b"ping"))`; `client.heard` has the chunks that came."""

    def __init__(self, answer: Callable[[str | bytes], str | bytes | None]) -> None:
        self.packets: list[bytes] = []
        self.association = Association(self.packets.append, answer)
        self.tag = 0
        self._tsn = FIRST_TSN

    def establish(self) -> None:
        """INIT, COOKIE-ECHO."""
        init = InitChunk()
        init.initiate_tag, init.advertised_rwnd, init.initial_tsn = TAG, 1 << 20, FIRST_TSN
        init.outbound_streams = init.inbound_streams = 65535
        self.send(bytes(init))
        (answer,) = self.heard()
        assert isinstance(answer, InitAckChunk)
        self.tag = answer.initiate_tag
        echo = CookieEchoChunk()
        echo.body = dict(answer.params)[SCTP_STATE_COOKIE]
        self.send(bytes(echo))

    def send(self, *chunks: bytes) -> None:
        """One packet."""
        self.association.receive(serialize_packet(PORT, PORT, self.tag, Raw(*chunks)))

    def data(self, protocol: int, user_data: bytes, *, stream: int = 0, skip: int = 0, flags: int = WHOLE | 4) -> bytes:
        """A DATA chunk, unordered, with the next number but `skip`."""
        made = DataChunk(flags)
        made.tsn, made.stream_id, made.protocol, made.user_data = self._tsn + skip, stream, protocol, user_data
        self._tsn += 1 + skip
        return bytes(made)

    def heard(self) -> list[Chunk]:
        """The chunks of what came since the last call."""
        packets, self.packets[:] = self.packets[:], []
        return [one for packet in packets for one in parse_packet(packet)[3]]
