"""How a TCP port takes connectivity checks of strangers: what tells rtcd's media port from other services, unasked by
anybody who has credentials (rtcd-protocol section 4.2, seen of v1.2.6).

rtcd closes at once on a check without USERNAME, and holds one with an unknown USERNAME in silence, for 30 s. Two
connections, one after the other, of one packet each.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from calls_doctor.model.flow import Address
from calls_doctor.net.streams import open_stream
from calls_doctor.wire import stun
from calls_doctor.wire.framing import frame
from calls_doctor.wire.ice import Random
from calls_doctor.wire.stun import Message, MessageClass, Method

CLOSE_S = 2.0
"""For the connection to be closed, which rtcd does at once: a packet may have to be sent again."""
HOLD_S = 1.5
"""How long a connection that is held is watched."""
HEAD_BYTES = 16
"""Of what is answered: enough to know its kind."""
FRAGMENT_BYTES = 8
BLANK_LINE = b"\r\n\r\n"
"""At the head of the first transaction id: a web server takes what came for a request, and says that it is none."""


class Reaction(StrEnum):
    """What came of one check."""

    CLOSED = "closed"
    HELD = "held"
    ANSWERED = "answered"


@dataclass(frozen=True)
class Reactions:
    """To one check after the other."""

    bare: Reaction
    """To one without USERNAME."""
    unknown: Reaction | None
    """To one with a USERNAME that nobody knows; None where the first one has decided."""
    head: bytes
    """The first bytes of an answer; b"" where there was none."""
    connect_s: float

    @property
    def as_rtcds(self) -> bool:
        """True where both are as rtcd's: consistent with it, which is no proof."""
        return (self.bare, self.unknown) == (Reaction.CLOSED, Reaction.HELD)


async def reactions(at: Address, random: Random) -> Reactions:
    """`random(n)` gives n random bytes. Raises Refused, Unreachable, NotSent or Silence for a connection."""
    transaction_id = BLANK_LINE + random(stun.TRANSACTION_ID_BYTES - len(BLANK_LINE))
    bare = Message(Method.BINDING, MessageClass.REQUEST, transaction_id, [])
    first, head, connect_s = await _reaction(at, bare.encode(), CLOSE_S)
    if first is not Reaction.CLOSED:
        return Reactions(first, None, head, connect_s)
    username = f"{random(FRAGMENT_BYTES).hex()}:{random(FRAGMENT_BYTES).hex()}"
    strange = [(stun.USERNAME, username)]
    unknown = Message(Method.BINDING, MessageClass.REQUEST, random(stun.TRANSACTION_ID_BYTES), strange)
    second, head, _ = await _reaction(at, unknown.encode(fingerprint=True), HOLD_S)
    return Reactions(first, second, head, connect_s)


async def _reaction(at: Address, packet: bytes, wait_s: float) -> tuple[Reaction, bytes, float]:
    """What one packet on a new connection brings about, the first bytes that came, and how long connecting took."""
    stream = await open_stream(at, stun.PROBE_DECIDED_S)
    try:
        stream.writer.write(frame(packet))
        async with asyncio.timeout(wait_s):
            head = await stream.reader.read(HEAD_BYTES)
    except TimeoutError:
        return Reaction.HELD, b"", stream.connect_s
    except OSError:  # a reset is a close that leaves our packet unread
        return Reaction.CLOSED, b"", stream.connect_s
    finally:
        await stream.close()
    return (Reaction.ANSWERED if head else Reaction.CLOSED), head, stream.connect_s
