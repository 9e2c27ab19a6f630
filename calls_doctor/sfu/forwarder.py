"""Where a participant's media goes: back to it, or to all others of its call. Headers change, nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator

from calls_doctor.model.flow import Path
from calls_doctor.sfu.session import Session
from calls_doctor.wire.rtp import rewritten


class Forwarder:
    """The calls that are held now."""

    def __init__(self) -> None:
        self._calls: dict[str, list[Session]] = {}

    def join(self, session: Session) -> None:
        """From now on the session hears the others of its call, and they hear it."""
        if session.grant.call is not None:
            self._calls.setdefault(session.grant.call, []).append(session)

    def leave(self, session: Session) -> None:
        """The session is over."""
        call = session.grant.call
        others = [one for one in self._calls.get(call or "", ()) if one is not session]
        if call is None or call not in self._calls:
            return
        if others:
            self._calls[call] = others
        else:
            del self._calls[call]

    def forward(self, packet: bytes, sender: Session, path: Path, now: float) -> Iterator[tuple[Path, bytes]]:
        """One decrypted RTP packet that came by `path`, as encrypted packets with the path each goes by."""
        grant = sender.grant
        if not sender.publishes(packet, now):
            return
        if grant.call is None:
            # Back by the way it came, so that no forged nomination can aim the stream at a third party.
            echo = rewritten(packet, sender.payload_type, grant.publishes_as)
            out = sender.connection.outgoing_rtp(echo, now, path)
            if out is not None:
                yield out
            return
        passed_on: dict[int, bytes] = {}
        """By payload type: most take the same."""
        for other in self._calls.get(grant.call, ()):
            if other is not sender:
                copy = passed_on.get(other.payload_type)
                if copy is None:
                    copy = rewritten(packet, other.payload_type, grant.publishes_as)
                    passed_on[other.payload_type] = copy
                out = other.connection.outgoing_rtp(copy, now)
                if out is not None:
                    yield out
