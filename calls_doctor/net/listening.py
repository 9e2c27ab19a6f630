"""What is heard of a stand-in on any channel: that it lives, that nobody is there, or since when there is silence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from calls_doctor.errors import Cut, NetworkError, Refused
from calls_doctor.model.flow import Transport
from calls_doctor.net.sockets import Receiver


@dataclass
class Signs:
    """What was ever heard of it, by any way."""

    answered: bool = False
    refused: bool = False
    connected: bool = False
    closed: bool = False
    """A connection was made, and ended by the far end before it brought anything."""


class Listening:
    """Passes on what a channel brings, and notes when its transport was first asked without an answer since."""

    def __init__(
        self, receiver: Receiver, transport: Transport, silent_since: dict[Transport, float], signs: Signs
    ) -> None:
        self._receiver, self._transport, self._silent_since, self._signs = receiver, transport, silent_since, signs
        silent_since.setdefault(transport, asyncio.get_running_loop().time())

    def packet(self, data: bytes) -> None:
        """One packet of the far end's."""
        self._silent_since.pop(self._transport, None)
        self._signs.answered = True
        self._receiver.packet(data)

    def trouble(self, error: NetworkError) -> None:
        """What the network said in its place."""
        self._signs.closed = self._signs.closed or isinstance(error, Cut)
        self._signs.refused = self._signs.refused or isinstance(error, Refused)
        self._receiver.trouble(error)
