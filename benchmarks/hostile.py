"""A stand-in under fire, a process of its own: mutated packets, idle connections, floods, replays; calls meanwhile.

python -m benchmarks.hostile [PACKETS]

After each handful of hostile packets one authentic check must be answered, which shows that the stand-in lives and
that it has taken all that came before. So nothing is lost in a socket's buffer, and the rate is what it takes. Calls
of two go on all the time and must lose nothing. Linux only.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.quality import Figure, record
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import MediaAddress
from calls_doctor.net import call
from calls_doctor.net.paired import PairedHost
from calls_doctor.sfu.session import IDLE_S
from calls_doctor.standin.launch import Options, Ready, StandInProcess
from calls_doctor.wire import documents, stun
from calls_doctor.wire.direct import KEY_BYTES, NO_CERTIFICATE, Keys, compose, nonce
from calls_doctor.wire.documents import Document
from calls_doctor.wire.held_answers import HOLD_MAX_S
from calls_doctor.wire.stun import Attributes, Message, MessageClass, Method

HOST = "127.0.0.1"
PACKETS, CONNECTIONS = 1_000_000, 2000
BATCH = 48
"""Hostile packets between two checks: they fit into a socket's receive buffer."""
ANSWER_S = 2.0
CALL_S, CONNECTED_S = 2.0, 0.7
"""How long a call lasts, and when it is surely up."""
ROOM_AGAIN_S = IDLE_S + 0.2
"""After which sessions that were opened for nothing give way."""
GROWTH_BAR_BYTES = 16 << 20
"""What the bounded tables hold when they are full: transactions seen, books of sessions that are over."""
HOLD_MAX_MS = round(1000 * HOLD_MAX_S)
COMMAND = "python -m benchmarks.hostile"
CLIENT_HELLO = b"\x16\xfe\xfd" + bytes(8) + b"\x00\xc8\x01" + bytes(199)
RTP, RTCP = b"\x80\x6f" + bytes(170), b"\x80\xc9" + bytes(30)


@dataclass
class Outcome:
    """What came of it."""

    packets: int = 0
    took_s: float = 0.0
    connections: int = 0
    unanswered: int = 0
    """Authentic checks that brought no answer: the stand-in was gone, or overrun."""
    stranger_bytes: int = 0
    """That ever came back to who had no key, or sent what was captured elsewhere."""
    larger: int = 0
    """Answers to authentic checks that were larger than the check."""
    calls: int = 0
    disturbed: list[str] = field(default_factory=list)
    """What failed or lost a packet of the calls meanwhile."""
    growth_bytes: int = 0
    """Of the process's resident memory, from after the first tenth."""
    said: str = ""
    """What it wrote to standard error."""

    @property
    def holds(self) -> bool:
        """True where nothing of it went wrong."""
        wrong = self.unanswered or self.stranger_bytes or self.larger or self.disturbed or self.said
        return not wrong and self.calls > 0 and self.growth_bytes <= GROWTH_BAR_BYTES

    def __str__(self) -> str:
        return (
            f"{self.packets} packets in {self.took_s:.0f} s ({self.packets / self.took_s:.0f}/s), "
            f"{self.connections} idle connections; {self.stranger_bytes} bytes to strangers, {self.larger} answers "
            f"larger than their check, {self.unanswered} checks unanswered, "
            f"{len(self.disturbed)} of {self.calls} calls disturbed; "
            f"memory grew by {self.growth_bytes / (1 << 20):.1f} MiB; "
            f"{'NO SILENT' if self.said else 'a silent'} standard error"
        )


class Attack:
    """Everything that is done to one stand-in."""

    def __init__(self, ready: Ready, pid: int, seed: int) -> None:
        self._address, self._pid = (HOST, ready.media_port), pid
        self._keys, self._random = ready.pairing.keys, random.Random(seed)
        self._fragment = str(compose(self._keys.run, "u", nonce(secrets.token_bytes(6)), NO_CERTIFICATE))
        self._stack = ExitStack()
        self._holder, self._stranger = (self._socket(source) for source in ("127.0.0.2", "127.0.0.3"))
        self._sizes: dict[bytes, int] = {}
        """Transaction id -> the largest packet that had it, since the last check."""
        self._held_sizes: dict[bytes, int] = {}
        """The same of those whose answers may come much later."""
        self.outcome = Outcome()

    def close(self) -> None:
        """Closes its sockets."""
        self._stack.close()

    async def mutated(self, packets: int) -> None:
        """Real packets, changed: by who has no key, and by who has it and signs what it changed."""
        foreign = Keys(secrets.token_bytes(KEY_BYTES))
        seeds = [
            self._check(self._keys, password="wrong"), self._check(foreign), CLIENT_HELLO, RTP, RTCP, b"GET / HTTP/1.1",
            *(Message(method, kind, bytes(12)).encode() for method in Method for kind in MessageClass),
        ]  # fmt: skip
        before = 0

        def batch() -> None:
            for _ in range(BATCH // 2):
                self._throw(self._changed(self._random.choice(seeds)))
                self._sign(self._odd())

        for number in range(max(1, packets // BATCH)):
            await self._batch(batch)
            if number == packets // BATCH // 10:
                before = resident_bytes(self._pid)
        self.outcome.growth_bytes = resident_bytes(self._pid) - before

    async def floods(self, packets: int, paired: PairedHost) -> None:
        """Well-formed checks of the run, unsigned or of ever new sessions, beside calls that are up: whoever holds the
        key and takes all sessions has others refused, who are told so; a call that is up it does not end."""

        def batch() -> None:
            for _ in range(BATCH // 2):
                self._throw(self._check(self._keys, password="wrong"))
                new = str(compose(self._keys.run, "u", nonce(secrets.token_bytes(6)), NO_CERTIFICATE))
                self._sign([], new)

        until = self.outcome.packets + packets
        while self.outcome.packets < until:
            beside = asyncio.create_task(_call(paired, self.outcome))
            await asyncio.sleep(CONNECTED_S)
            while not beside.done():
                await self._batch(batch)
            await beside
            await asyncio.sleep(ROOM_AGAIN_S)

    async def replays(self, packets: int) -> None:
        """What the holder sent and the stand-in answered, again from elsewhere: also to nominate."""
        captured = [self._signed([(stun.USE_CANDIDATE, True)]) for _ in range(BATCH)]

        def given() -> None:
            for packet in captured:
                self._note(packet)
                self._holder.send(packet)

        def again() -> None:
            for packet in captured:
                self._throw(packet)

        await self._batch(given)
        for _ in range(max(1, packets // BATCH)):
            await self._batch(again)

    async def idle_connections(self, number: int) -> None:
        """TCP connections that say nothing, from many addresses; a call over TCP comes up among them."""
        with ExitStack() as stack:
            for count in range(number):
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.bind((f"127.0.{1 + count % 40}.1", 0))
                with suppress(BlockingIOError):
                    one.connect(self._address)
                if count % BATCH == 0:
                    await self._batch(lambda: None)
            await self._batch(lambda: None)
        self.outcome.connections += number

    def _socket(self, source: str) -> socket.socket:
        one = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        one.setblocking(False)
        one.bind((source, 0))
        one.connect(self._address)
        return one

    async def _batch(self, do: Callable[[], None]) -> None:
        """Does it, then waits for the answer to one authentic check, and counts what came meanwhile."""
        self._sizes.clear()
        do()
        last = self._signed([])
        self._note(last)
        self._holder.send(last)
        wanted, answered = stun.parse(last).transaction_id, False
        deadline = time.monotonic() + ANSWER_S
        while not answered and time.monotonic() < deadline:
            await asyncio.sleep(0)
            for data in _all(self._holder):
                asked_bytes = self._sizes.get(data[8:20]) or self._held_sizes.pop(data[8:20], 0)
                self.outcome.larger += len(data) > asked_bytes
                answered = answered or data[8:20] == wanted
        self.outcome.unanswered += not answered
        self.outcome.stranger_bytes += sum(len(data) for data in _all(self._stranger))

    def _throw(self, packet: bytes) -> None:
        self._stranger.send(packet)
        self.outcome.packets += 1

    def _sign(self, attributes: Attributes, fragment: str = "") -> None:
        packet = self._signed(attributes, fragment)
        self._note(packet)
        if any(row is stun.HOLD_ANSWER for row, _ in attributes):
            self._held_sizes[packet[8:20]] = len(packet)
        self._holder.send(packet)
        self.outcome.packets += 1

    def _note(self, packet: bytes) -> None:
        self._sizes[packet[8:20]] = max(len(packet), self._sizes.get(packet[8:20], 0))

    def _signed(self, attributes: Attributes, fragment: str = "") -> bytes:
        fragment = fragment or self._fragment
        return _request(fragment, attributes, self._keys.password(fragment))

    def _check(self, keys: Keys, *, password: str = "") -> bytes:
        fragment = str(compose(keys.run, "u", nonce(secrets.token_bytes(6)), NO_CERTIFICATE))
        return _request(fragment, [], password or keys.password(fragment))

    def _odd(self) -> Attributes:
        """Attributes whose values no client of ours sends."""
        some = self._random.randbytes(self._random.choice((0, 1, 4, 40, 600)))
        page = documents.pack_request(self._random.choice(list(Document)), self._random.randrange(1 << 16))
        choices: list[Attributes] = [
            [(stun.DOCUMENT_REQUEST, some)], [(stun.DOCUMENT_REQUEST, page)], [(stun.DOCUMENT_PAGE, some)],
            [(stun.DOCUMENT_PAGE, b"\2\2" + some)], [(stun.PADDING, some)], [(stun.ICE_CONTROLLED, 1)],
            [(stun.PROBE_NUMBER, self._random.randrange(1 << 32))], [(stun.USE_CANDIDATE, True)],
            [(stun.HOLD_ANSWER, self._random.randrange(2 * HOLD_MAX_MS))],
            [(stun.CHANGE_REQUEST, 6)], [(stun.REALM, some.hex())], [(stun.BOOKS, some)],
        ]  # fmt: skip
        return self._random.choice(choices)

    def _changed(self, packet: bytes) -> bytes:
        """Cut off, longer, or with some bytes changed."""
        data = bytearray(packet)
        for _ in range(self._random.randint(1, 4)):
            data[self._random.randrange(len(data))] = self._random.randrange(256)
        kind = self._random.randrange(4)
        if kind == 0:
            return bytes(data[: self._random.randrange(1, len(data) + 1)])
        return bytes(data) + self._random.randbytes(self._random.randrange(64)) if kind == 1 else bytes(data)


def _request(fragment: str, attributes: Attributes, password: str) -> bytes:
    request = Message(Method.BINDING, MessageClass.REQUEST, secrets.token_bytes(12), [
        (stun.USERNAME, f"{fragment}:near"), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1), *attributes,
    ])  # fmt: skip
    return request.encode(password.encode(), fingerprint=True)


def _all(sock: socket.socket) -> Iterator[bytes]:
    """What lies there."""
    with suppress(BlockingIOError):
        while True:
            yield sock.recv(65535)


def resident_bytes(pid: int) -> int:
    """Of a process's memory (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _call(paired: PairedHost, outcome: Outcome) -> None:
    """One call of two, over UDP and TCP by turns."""
    transport, leg = ((Transport.UDP, "U"), (Transport.TCP, "T"))[outcome.calls % 2]
    outcome.calls += 1
    held = await call.hold(paired, [paired.opener(transport)] * 2, leg, CALL_S)
    media = call.there_and_back(
        held
    )  # by this end's own books: in a flood of sessions the far end's cannot be asked for
    if held.failure is not None or media.loss_ratio != 0.0:
        outcome.disturbed.append(f"{leg}: {held.failure or f'{media.received} of {media.sent} packets came'}")


@asynccontextmanager
async def _calls(paired: PairedHost, outcome: Outcome) -> AsyncIterator[None]:
    """One call after the other, beside what is done meanwhile."""
    over = False

    async def one_by_one() -> None:
        while not over:
            await _call(paired, outcome)

    calling = asyncio.create_task(one_by_one())
    try:
        yield
    finally:
        over = True
        await calling


async def assault(packets: int, connections: int = CONNECTIONS, seed: int = 0) -> Outcome:
    """All of it, against a stand-in of its own. Raises StandInFailed where that does not come up."""
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process as ready:
        paired = PairedHost(
            ready.pairing, MediaAddress(host=HOST, udp_port=ready.media_port, tcp_port=ready.media_port)
        )
        attack = Attack(ready, process.pid, seed)
        began_s = time.monotonic()
        try:
            async with _calls(paired, attack.outcome):
                await attack.idle_connections(connections)
                await attack.mutated(packets)
                await attack.replays(packets // 10)
            await attack.floods(packets // 10, paired)
        finally:
            attack.outcome.took_s = time.monotonic() - began_s
            attack.close()
    attack.outcome.said = process.said
    return attack.outcome


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, writes down."""
    packets = int(arguments[0]) if arguments else PACKETS
    outcome = asyncio.run(assault(packets))
    for one in outcome.disturbed[:5]:
        sys.stdout.write(f"disturbed: {one}\n")
    return record(
        Figure(
            f"a stand-in under {packets} mutated packets, {CONNECTIONS} idle connections, floods and replays",
            "no crash, nothing said, nothing to strangers, no call disturbed, memory flat",
            str(outcome),
            outcome.holds,
            COMMAND,
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
