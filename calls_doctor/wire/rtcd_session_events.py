"""What a session in a call of rtcd tells whoever drives it (`wire/rtcd_session.py`).

What the server says is told as it came, in an order that a peer can take: the answer before its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

from calls_doctor.wire.rtcd_channel import MediaMap, Pong, TextPong
from calls_doctor.wire.rtcd_signal import IceCandidate, SessionDescription, VoiceOff, VoiceOn


@dataclass(frozen=True)
class MayOffer:
    """What `negotiate` asked for: an offer made now does not cross one of the server's."""

    locked: bool
    """False where the server has no lock (before v1.1.0): then it may."""


@dataclass(frozen=True)
class OfferIgnored:
    """An offer of the server's crossed ours, which is not answered: the peer rolls back, answers, negotiates again."""


@dataclass(frozen=True)
class Failed:
    """Something did not come about. The session is not over by it."""

    stage: str
    """"join": the first offer was not answered, which is all that is seen of a refused join. "offer": a later one was
    not. "lock": others held it all the time."""
    after_s: float


@dataclass(frozen=True)
class Closed:
    """The session is over."""

    stage: str
    """"join" before the first answer, "call" after it, "leave" where we left."""
    told: bool
    """True where the server said so; it never does to a session that was reconnected."""


Event = (
    SessionDescription
    | IceCandidate
    | VoiceOn
    | VoiceOff
    | MediaMap
    | Pong
    | TextPong
    | MayOffer
    | OfferIgnored
    | Failed
    | Closed
)
