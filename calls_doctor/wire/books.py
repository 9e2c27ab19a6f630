"""How books travel in Binding answers: eight counters in an ordinary one, everything in pages where it was asked for.

A request without DOCUMENT-REQUEST gets the counters, where they fit; one that asks for a page of the run's books gets
that page, as the books stood when page 0 was asked for (wire/documents.py). No answer is larger than its request, so a
client pads its requests to have room. Bytes in, books out; nothing here knows who asked.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec

from calls_doctor.errors import BooksError
from calls_doctor.model.books import RunBooks, SessionBooks

COUNTERS_FORM = 1
_COUNTERS = struct.Struct("!BcH8I")
"""Form, leg, zero, then STUN in and out, DTLS in and out, RTP in and out, RTCP in, bytes in (packets but the last)."""
COUNTERS_BYTES = _COUNTERS.size
_U32_MAX = 0xFFFFFFFF


@dataclass(frozen=True)
class Counters:
    """What the far end counted of one session, over all its paths."""

    leg: str
    stun_in: int
    stun_out: int
    dtls_in: int
    dtls_out: int
    rtp_in: int
    rtp_out: int
    rtcp_in: int
    bytes_in: int


def pack_counters(leg: str, books: SessionBooks) -> bytes:
    """The value of BOOKS in an ordinary Binding answer."""
    names = ("stun_in", "stun_out", "dtls_in", "dtls_out", "rtp_in", "rtp_out", "rtcp_in", "bytes_in")
    sums = [min(sum(getattr(path, name) for path in books.paths), _U32_MAX) for name in names]
    return _COUNTERS.pack(COUNTERS_FORM, leg.encode("ascii"), 0, *sums)


def parse_counters(value: bytes) -> Counters:
    """Raises BooksError, and nothing else."""
    if len(value) != _COUNTERS.size or value[0] != COUNTERS_FORM:
        raise BooksError("no counters of a session")
    _, leg, _, *sums = _COUNTERS.unpack(value)
    if not leg.isalpha():
        raise BooksError("the counters name no leg")
    return Counters(leg.decode("ascii"), *sums)


def encode(books: RunBooks) -> bytes:
    """As they stand now; they travel in pages (wire/pages.py)."""
    return msgspec.msgpack.encode(books)


def decode(encoded: bytes) -> RunBooks:
    """What `encode` made. Raises BooksError, and nothing else."""
    try:
        return msgspec.msgpack.decode(encoded, type=RunBooks)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BooksError(f"the books cannot be read: {error}") from None
