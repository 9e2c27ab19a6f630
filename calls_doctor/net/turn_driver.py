"""Drives a TURN conversation (wire/turn.py) over a channel: sends, keeps its timers, waits for what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from calls_doctor.errors import Cut, FarEndError, FramingError, NetworkError, ProtocolError, Refused, Silence
from calls_doctor.model.flow import Address
from calls_doctor.net.sockets import Channel, Receiver
from calls_doctor.wire import turn_events
from calls_doctor.wire.turn import TRY_ALTERNATE, TurnClient
from calls_doctor.wire.turn_events import Event


class TurnReceiver(Receiver, Protocol):
    """A receiver that can also be told that the stream is not TURN."""

    def broken(self, error: FramingError) -> None:
        """Nothing that comes by this channel can be read any more."""


class TurnDriver:
    """The receiver of the channel to the server, and whoever talks through it."""

    def __init__(self, client: TurnClient, what: str) -> None:
        self.client = client
        self.receivers: dict[Address, Receiver] = {}
        """Peer -> who takes its data."""
        self._what = what
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._heard: NetworkError | None = None
        """An ICMP error, which another answer may outdo."""
        self._ended: NetworkError | ProtocolError | None = None

    def attach(self, channel: Channel) -> None:
        """What it talks over from now on."""
        self._channel = channel

    async def ask(self, start: Callable[[float], object], *wanted: type[Event], timeout_s: float) -> Event:
        """Starts a request and waits for one of the wanted events.

        Raises FarEndError where the server refuses it, Silence, Refused, Unreachable or Cut where no answer comes,
        ProtocolError where what came is no TURN.
        """
        self._events.clear()
        start(self._loop.time())
        self.go_on()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for event in self._events:
                        if isinstance(event, wanted):
                            return event
                        self._raise_refusal(event)
                    self._events.clear()
                    if self._ended is not None:
                        raise self._ended
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise self._silence(timeout_s) from None

    def packet(self, data: bytes) -> None:
        """One message from the server."""
        self.client.receive(data, self._loop.time())
        self.go_on()

    def trouble(self, error: NetworkError) -> None:
        """A closed port and a cut connection end it; another ICMP error is remembered."""
        if isinstance(error, Refused | Cut):
            self._end(error)
        else:
            self._heard = error

    def broken(self, error: FramingError) -> None:
        """The stream is not TURN."""
        self._end(error)

    def go_on(self) -> None:
        """After every call into the client: sends, hears what happened, sets the timer."""
        if self._channel is None:
            return
        for packet in self.client.packets_to_send():
            self._channel.send(packet)
        for event in self.client.events():
            if isinstance(event, turn_events.Data):
                if event.peer in self.receivers:
                    self.receivers[event.peer].packet(event.data)
            else:
                self._events.append(event)
                self._news.set()
        at = self.client.next_timer()
        if self._timer is not None and self._timer.when() != at:
            self._timer.cancel()
            self._timer = None
        if at is not None and self._timer is None:
            self._timer = self._loop.call_at(at, self._on_timer)

    async def close(self) -> None:
        """Closes the channel; a release was asked for before."""
        if self._timer is not None:
            self._timer.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _on_timer(self) -> None:
        self._timer = None
        self.client.handle_timer(self._loop.time())
        self.go_on()

    def _end(self, error: NetworkError | ProtocolError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        self._news.set()
        cut = error if isinstance(error, NetworkError) else Cut(self._what, detail=str(error))
        for receiver in self.receivers.values():
            receiver.trouble(cut)

    def _raise_refusal(self, event: Event) -> None:
        if isinstance(event, turn_events.Refused):
            method = event.method.name.replace("_", " ").title()
            raise FarEndError(f"{method} at {self._what}", event.code, event.reason)
        if isinstance(event, turn_events.TryAlternate):
            server = f"{event.server[0]}:{event.server[1]}"
            raise FarEndError(f"Allocate at {self._what}", TRY_ALTERNATE, f"try {server} instead")
        if isinstance(event, turn_events.TimedOut):
            raise self._silence(event.after_s)

    def _silence(self, after_s: float) -> NetworkError | ProtocolError:
        if self._heard is not None:
            return self._heard
        if self.client.unreadable:
            return ProtocolError(f"what answers at {self._what} is no TURN server: {self.client.unreadable}")
        return Silence(self._what, after_s)
