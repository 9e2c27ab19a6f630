"""A network between two connections that exists in memory only: a made-up clock, and loss, duplication and reordering
drawn from a seeded Random. What it carried is counted, to be held against both ends' books."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from calls_doctor.model.flow import Path
from calls_doctor.wire.connection import Connection, Event
from calls_doctor.wire.framing import PacketKind, packet_kind

TO_FAR, TO_NEAR = "to far", "to near"


@dataclass
class Carried:
    """Packets of one direction, by kind."""

    sent: Counter[PacketKind] = field(default_factory=Counter)
    lost: Counter[PacketKind] = field(default_factory=Counter)
    delivered: Counter[PacketKind] = field(default_factory=Counter)
    """Copies included."""
    copies: Counter[PacketKind] = field(default_factory=Counter)
    bytes_sent: int = 0
    bytes_delivered: int = 0


@dataclass
class Weather:
    """What happens to a packet; ratios of 1, times in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.010
    jitter_s: float = 0.0
    """More than the packets' spacing reorders them."""
    spared: Collection[PacketKind] = ()
    """Kinds that are neither lost nor copied, and all take `delay_s`."""


class MadeUpNetwork:
    """`ways` are pairs: a path as the near end sees it, and as the far end does."""

    def __init__(
        self, near: Connection, far: Connection, ways: list[tuple[Path, Path]], weather: Weather, seed: int = 0
    ) -> None:
        self.now = 0.0
        self.weather = weather
        self.carried = {TO_FAR: Carried(), TO_NEAR: Carried()}
        self.blocked: set[tuple[str, Path]] = set()
        """Direction and the near end's path: nothing gets through."""
        self.events: dict[str, list[Event]] = {TO_FAR: [], TO_NEAR: []}
        """What the end in that direction told."""
        self.captured: list[tuple[str, Path, bytes]] = []
        """Every packet sent, with direction and the near end's path."""
        self.on_far_event: Callable[[Event, float], None] | None = None
        self._ends = {TO_FAR: far, TO_NEAR: near}
        self._far_path = dict(ways)
        self._near_path = {far_path: near_path for near_path, far_path in ways}
        self._random = Random(seed)
        self._in_flight: list[tuple[float, int, str, Path, bytes]] = []
        self._number = 0

    def run(self, until: float) -> None:
        """Lets time pass; each end is called when a packet arrives or its timer is due."""
        self._collect()
        while (due := self._next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            while self._in_flight and self._in_flight[0][0] <= self.now:
                _, _, direction, near_path, packet = heapq.heappop(self._in_flight)
                self._deliver(direction, near_path, packet)
                self._collect()
            for end in self._ends.values():
                timer = end.next_timer()
                if timer is not None and timer <= self.now:
                    end.handle_timer(self.now)
            self._collect()
        self.now = until

    def inject(self, direction: str, path: Path, packet: bytes) -> None:
        """Somebody else's packet, with whatever source it claims; it arrives at once and is not counted."""
        self._ends[direction].receive(packet, path, self.now)
        self._collect()

    def _next_due(self) -> float | None:
        times = [timer for end in self._ends.values() if (timer := end.next_timer()) is not None]
        times += [self._in_flight[0][0]] if self._in_flight else []
        return min(times, default=None)

    def _collect(self) -> None:
        for direction, sender in ((TO_FAR, self._ends[TO_NEAR]), (TO_NEAR, self._ends[TO_FAR])):
            for path, packet in sender.datagrams_to_send(self.now):
                self._send(direction, path if direction == TO_FAR else self._near_path.get(path, path), packet)
        for direction, end in self._ends.items():
            events = end.events()
            self.events[direction] += events
            if direction == TO_FAR and self.on_far_event is not None and events:
                for event in events:
                    self.on_far_event(event, self.now)
                self._collect()

    def _send(self, direction: str, near_path: Path, packet: bytes) -> None:
        kind, carried, weather = packet_kind(packet), self.carried[direction], self.weather
        carried.sent[kind] += 1
        carried.bytes_sent += len(packet)
        self.captured.append((direction, near_path, packet))
        spared = kind in weather.spared
        if (direction, near_path) in self.blocked or (not spared and self._random.random() < weather.loss):
            carried.lost[kind] += 1
            return
        copies = 2 if not spared and self._random.random() < weather.duplication else 1
        carried.copies[kind] += copies - 1
        for _ in range(copies):
            self._number += 1
            at = self.now + weather.delay_s + (0.0 if spared else self._random.random() * weather.jitter_s)
            heapq.heappush(self._in_flight, (at, self._number, direction, near_path, packet))

    def _deliver(self, direction: str, near_path: Path, packet: bytes) -> None:
        carried = self.carried[direction]
        carried.delivered[packet_kind(packet)] += 1
        carried.bytes_delivered += len(packet)
        path = self._far_path[near_path] if direction == TO_FAR else near_path
        self._ends[direction].receive(packet, path, self.now)
