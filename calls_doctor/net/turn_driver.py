"""Drives a TURN conversation (wire/turn.py) over a channel: sends, keeps its timers, waits for what comes of it.

Several may ask at once: each answer goes to whoever asked for it. A refresh, which nobody asked for, is told to those
who talk through the relay where it fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from calls_doctor.errors import (
    CallsDoctorError,
    Cut,
    FarEndError,
    FramingError,
    NetworkError,
    ProtocolError,
    Refused,
    Silence,
)
from calls_doctor.model.flow import Address
from calls_doctor.net.sockets import Channel, Receiver
from calls_doctor.wire import turn_events
from calls_doctor.wire.stun import Method
from calls_doctor.wire.turn import TRY_ALTERNATE, TurnClient
from calls_doctor.wire.turn_events import Event

Subject = tuple[Method, tuple[Address, ...]]
"""What a request is about: its method, and the peers that it names."""


class TurnReceiver(Receiver, Protocol):
    """A receiver that can also be told that the stream is not TURN."""

    def broken(self, error: FramingError) -> None:
        """Nothing that comes by this channel can be read any more."""


@dataclass(frozen=True, eq=False)
class _Ask:
    subject: Subject
    wanted: tuple[type[Event], ...]
    answer: asyncio.Future[Event]


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
        self._asks: list[_Ask] = []
        self._heard: NetworkError | None = None
        """An ICMP error, which an answer may outdo."""
        self._closed = False
        self._ended: NetworkError | ProtocolError | None = None

    @property
    def ended(self) -> NetworkError | ProtocolError | None:
        """Why nothing can be asked any more; None while it can."""
        return self._ended

    def attach(self, channel: Channel) -> None:
        """What it talks over from now on."""
        self._channel = channel

    async def ask(
        self, start: Callable[[float], object], subject: Subject, *wanted: type[Event], timeout_s: float
    ) -> Event:
        """Starts a request about the subject and waits for one of the wanted events.

        Raises FarEndError where the server refuses it, Silence, Refused, Unreachable or Cut where no answer comes,
        ProtocolError where what came is no TURN.
        """
        if self._ended is not None:
            raise self._ended
        ask = _Ask(subject, wanted, self._loop.create_future())
        self._asks.append(ask)
        try:
            start(self._loop.time())
            self.go_on()
            async with asyncio.timeout(timeout_s):
                return await ask.answer
        except TimeoutError:
            raise self._silence(timeout_s) from None
        finally:
            self._asks.remove(ask)

    def packet(self, data: bytes) -> None:
        """One message from the server, which is reached then: what the network said before is outdated."""
        self._heard = None
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
        """After every call into the client: sends, hears what happened, sets the timer. After the end what is still to
        be sent is thrown away."""
        if self._closed:
            self.client.packets_to_send()
        if self._channel is None:
            return
        for packet in self.client.packets_to_send():
            self._channel.send(packet)
        for event in self.client.events():
            if isinstance(event, turn_events.Data):
                if event.peer in self.receivers:
                    self.receivers[event.peer].packet(event.data)
            else:
                self._tell(event)
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
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def _on_timer(self) -> None:
        self._timer = None
        self.client.handle_timer(self._loop.time())
        self.go_on()

    def _tell(self, event: Event) -> None:
        """Hands the event to those who asked; a refresh that failed is nobody's question."""
        about, error = _subject_of(event), self._error_of(event)
        asks = [ask for ask in self._asks if ask.subject == about and not ask.answer.done()]
        for ask in asks:
            if isinstance(event, ask.wanted):
                ask.answer.set_result(event)
            elif error is not None:
                ask.answer.set_exception(error)
        if error is not None and not asks:
            self._refresh_failed(about, error)

    def _refresh_failed(self, about: Subject, error: CallsDoctorError) -> None:
        method, peers = about
        if isinstance(error, FarEndError):
            lost = Cut(self._what, detail=f"the relay is lost: {error}")
            if method == Method.REFRESH:
                self._end(lost)
            else:
                self._trouble_for(peers, lost)
        elif isinstance(error, NetworkError):  # it is tried again, and may yet succeed
            self._trouble_for(peers, error)

    def _trouble_for(self, peers: tuple[Address, ...], error: NetworkError) -> None:
        """Tells those whose peers these are; without peers, all. A permission is for an address, whatever the port."""
        ips = {ip for ip, _ in peers}
        for peer, receiver in list(self.receivers.items()):
            if not ips or peer[0] in ips:
                receiver.trouble(error)

    def _end(self, error: NetworkError | ProtocolError) -> None:
        if self._ended is not None:
            return
        self._ended = error
        for ask in self._asks:
            if not ask.answer.done():
                ask.answer.set_exception(error)
        self._trouble_for((), error if isinstance(error, NetworkError) else Cut(self._what, detail=str(error)))

    def _error_of(self, event: Event) -> FarEndError | NetworkError | ProtocolError | None:
        """The error that an event stands for; None for what is none."""
        if isinstance(event, turn_events.Refused):
            method = event.method.name.replace("_", " ").title()
            return FarEndError(f"{method} at {self._what}", event.code, event.reason)
        if isinstance(event, turn_events.TryAlternate):
            server = f"{event.server[0]}:{event.server[1]}"
            return FarEndError(f"Allocate at {self._what}", TRY_ALTERNATE, f"try {server} instead")
        return self._silence(event.after_s) if isinstance(event, turn_events.TimedOut) else None

    def _silence(self, after_s: float) -> NetworkError | ProtocolError:
        if self._heard is not None:
            return self._heard
        if self.client.unreadable:
            return ProtocolError(f"what answers at {self._what} is no TURN server: {self.client.unreadable}")
        return Silence(self._what, after_s)


def _subject_of(event: Event) -> Subject:
    if isinstance(event, turn_events.Refused | turn_events.TimedOut):
        return event.method, event.peers
    if isinstance(event, turn_events.PermissionCreated):
        return Method.CREATE_PERMISSION, event.peers
    if isinstance(event, turn_events.ChannelBound):
        return Method.CHANNEL_BIND, (event.peer,)
    return (Method.REFRESH if isinstance(event, turn_events.Released) else Method.ALLOCATE), ()
