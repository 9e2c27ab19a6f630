"""The lock that a client of rtcd takes before it offers (v1.1.0 and later), so that no offer of the server crosses its
own. There is one for each session, and the server takes it too: for every track that it adds or removes.

It is given or refused at once, never later, so whoever is refused asks again. A lock that is not given back keeps the
server from offering this session anything until the session ends.
"""

from __future__ import annotations

from enum import Enum, auto

from calls_doctor.wire.rtcd_channel import Lock, Unlock

AGAIN_S = 0.1
"""After a refusal."""
DECIDED_S = 12.0
"""How long it is asked for: the server holds it for 10 s itself where its offer is not answered."""
UNKNOWN_S = 5.0
"""When a server that has not said yes or no knows no lock."""


class Outcome(Enum):
    """How asking for the lock ended."""

    TAKEN = auto()
    REFUSED = auto()
    """For DECIDED_S, each time."""
    UNKNOWN = auto()
    """The server knows no lock."""


class OfferLock:
    """One session's. `outgoing` is what its driver has to send."""

    def __init__(self) -> None:
        self.outgoing: list[Lock | Unlock] = []
        self.held = False
        self._asked_at: float | None = None
        """When it was asked for first; None while nobody wants it."""
        self._again_at: float | None = None
        self._replied = False
        """The server knows the lock."""

    def ask(self, now: float) -> None:
        """Asks until there is an outcome. While it is asked for or held, this does nothing."""
        if self._asked_at is None and not self.held:
            self._asked_at = now
            self.outgoing.append(Lock())

    def receive(self, locked: bool, now: float) -> Outcome | None:
        """A reply of the server; a lock that comes when nobody wants it any longer is given back."""
        self._replied = True
        if not locked:
            self._again_at = None if self._asked_at is None else now + AGAIN_S
            return None
        if self._asked_at is None:
            if not self.held:
                self.outgoing.append(Unlock())
            return None
        self.held, self._asked_at = True, None
        return Outcome.TAKEN

    def release(self) -> None:
        """Gives it back where it is held."""
        if self.held:
            self.held = False
            self.outgoing.append(Unlock())

    def next_timer(self) -> float | None:
        """When handle_timer is to be called."""
        if self._asked_at is None:
            return None
        decided_at = self._asked_at + (DECIDED_S if self._replied else UNKNOWN_S)
        return decided_at if self._again_at is None else min(decided_at, self._again_at)

    def handle_timer(self, now: float) -> Outcome | None:
        """Asks again, or gives up."""
        if self._asked_at is None:
            return None
        if now >= self._asked_at + (DECIDED_S if self._replied else UNKNOWN_S):
            self._asked_at = self._again_at = None
            return Outcome.REFUSED if self._replied else Outcome.UNKNOWN
        if self._again_at is not None and now >= self._again_at:
            self._again_at = None
            self.outgoing.append(Lock())
        return None
