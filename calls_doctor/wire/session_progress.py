"""How far a session has come, in its books: when each stage was reached, and how it ended."""

from __future__ import annotations

from calls_doctor.model.books import SessionBooks

ICE, DTLS, RTP = "ice", "dtls", "rtp"
STUN = "stun"


class SessionProgress:
    """Writes `timeline` and `failure`; each stage is reached once, and a session ends once."""

    def __init__(self, books: SessionBooks) -> None:
        self._books = books
        self._began_at: float | None = None
        """When the session's first packet was sent or received."""
        self.ended = False
        """It has failed or was closed: nothing more is made of what comes."""

    @property
    def stage(self) -> str:
        """What the session is at: "ice", "dtls" or "rtp"; where it hangs, if it hangs."""
        if not self.reached(ICE):
            return ICE
        return RTP if self.reached(DTLS) else DTLS

    def begin(self, now: float) -> None:
        """A packet was sent or received."""
        if self._began_at is None:
            self._began_at = now

    def reached(self, stage: str) -> bool:
        """True once the stage was reached."""
        return stage in self._books.timeline

    def reach(self, stage: str, now: float) -> bool:
        """Notes that the stage is reached; True the first time."""
        self.begin(now)
        if self.reached(stage):
            return False
        self._books.timeline[stage] = round(now - (self._began_at or 0.0), 6)
        return True

    def fail(self, stage: str, reason: str) -> bool:
        """Notes why the session ended badly; True unless it had ended before."""
        if self.ended:
            return False
        self._books.failure = f"{stage}: {reason}"
        return self.end()

    def end(self) -> bool:
        """Notes that the session is over; True the first time."""
        first, self.ended = not self.ended, True
        return first
