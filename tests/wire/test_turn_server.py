"""The TURN server's core and our TURN client's, face to face with a made-up clock: what is relayed, and what is not."""

from __future__ import annotations

import itertools

import pytest

from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import stun, turn_events
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.turn import TurnClient
from calls_doctor.wire.turn_server import RELAYED_MAX_BYTES, Faults
from calls_doctor.wire.turn_stream import StreamDeframer, channel_data
from tests.servers.turn_bench import ALLOCATE, PEER, Bench, client

STRANGER: Address = ("198.51.100.10", 8443)


class Caller:
    """A TURN client on the bench."""

    def __init__(self, bench: Bench, path: Path | None = None, login: tuple[str, str] = ("user", "password")) -> None:
        self.bench, self.path = bench, path or client()
        numbers = itertools.count(1 << 32)
        credentials = TurnCredentials(login[0], Secret(login[1]))
        self.stream = self.path.transport is Transport.TCP
        self.deframer = StreamDeframer()
        self.turn = TurnClient(credentials, lambda size: next(numbers).to_bytes(size, "big"), stream=self.stream)
        self.events: list[turn_events.Event] = []
        self.to_peers: list[tuple[Address, Address, bytes]] = []

    def go(self) -> list[turn_events.Event]:
        """Carries packets both ways until nobody has anything to say; gives the client's events."""
        self.turn.handle_timer(self.bench.now)
        while packets := self.turn.packets_to_send():
            for packet in self.as_received(packets):
                self.bench.server.receive(packet, self.path, self.bench.now)
            self.take()
        self.to_peers += self.bench.server.datagrams_to_relay()
        events = self.turn.events()
        self.events += events
        return events

    def as_received(self, packets: list[bytes]) -> list[bytes]:
        return self.deframer.feed(b"".join(packets)) if self.stream else packets

    def take(self) -> None:
        for path, packet in self.bench.server.packets_to_send():
            assert path == self.path
            self.turn.receive(packet, self.bench.now)

    def allocate(self) -> Address:
        self.turn.start_allocate(self.bench.now)
        self.go()
        assert self.turn.relayed is not None, self.events
        return self.turn.relayed

    def receive_from_peer(self, peer: Address, data: bytes) -> list[turn_events.Event]:
        assert self.turn.relayed is not None
        self.bench.server.receive_from_peer(self.turn.relayed, peer, data, self.bench.now)
        self.take()
        return self.go()


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_data_goes_both_ways_by_indication_and_by_channel(transport: Transport) -> None:
    caller = Caller(Bench(), client(transport=transport))
    relayed = caller.allocate()
    caller.turn.create_permission([PEER[0]], caller.bench.now)
    assert caller.go() == [turn_events.PermissionCreated(((PEER[0], 0),))]
    caller.turn.send(PEER, b"12345")
    assert caller.go() == [] and caller.to_peers == [(relayed, PEER, b"12345")]
    assert caller.receive_from_peer(PEER, b"abc") == [turn_events.Data(PEER, b"abc")]

    number = caller.turn.bind_channel(PEER, caller.bench.now)
    assert caller.go() == [turn_events.ChannelBound(PEER, number)]
    caller.turn.send(PEER, b"1")
    caller.turn.send(PEER, b"23")
    assert caller.go() == [] and caller.to_peers[1:] == [(relayed, PEER, b"1"), (relayed, PEER, b"23")]
    assert caller.receive_from_peer(PEER, b"abcde") == [turn_events.Data(PEER, b"abcde")]

    caller.turn.release(caller.bench.now)
    assert caller.go() == [turn_events.Released()]
    assert caller.bench.server.freed() == [relayed] and caller.bench.server.allocations == 0


def test_channel_data_is_padded_on_a_stream_and_only_there() -> None:
    for transport, size in ((Transport.UDP, 9), (Transport.TCP, 12)):
        caller = Caller(Bench(), client(transport=transport))
        relayed = caller.allocate()
        caller.turn.bind_channel(PEER, caller.bench.now)
        caller.go()
        caller.bench.server.receive_from_peer(relayed, PEER, b"abcde", caller.bench.now)
        ((_, packet),) = caller.bench.server.packets_to_send()
        assert len(packet) == size and packet[4:9] == b"abcde"


def test_nothing_passes_without_a_permission() -> None:
    caller = Caller(Bench())
    relayed = caller.allocate()
    caller.turn.send(PEER, b"x")
    assert caller.go() == [] and caller.to_peers == []
    assert caller.receive_from_peer(PEER, b"x") == []
    caller.turn.create_permission([PEER[0]], caller.bench.now)
    caller.go()
    assert caller.receive_from_peer(STRANGER, b"x") == []
    caller.turn.send(STRANGER, b"x")
    assert caller.go() == [] and caller.to_peers == []
    bench = caller.bench
    bench.server.receive(channel_data(0x4000, b"x", padded=False), caller.path, bench.now)
    bench.server.receive_from_peer((relayed[0], relayed[1] + 1), PEER, b"x", bench.now)
    assert bench.server.datagrams_to_relay() == [] and bench.server.packets_to_send() == []


def test_a_channel_is_nobody_elses() -> None:
    bench = Bench()
    caller, other = Caller(bench), Caller(bench, client(40001), ("other", "secret"))
    caller.allocate()
    other.allocate()
    caller.turn.bind_channel(PEER, bench.now)
    caller.go()
    bench.server.receive(channel_data(0x4000, b"x", padded=False), other.path, bench.now)
    assert bench.server.datagrams_to_relay() == []


def test_permissions_last_300_s_and_channels_600() -> None:
    bench = Bench()
    relayed = bench.allocated()
    channel: stun.Attributes = [(stun.CHANNEL_NUMBER, 0x4000), (stun.XOR_PEER_ADDRESS, PEER)]
    bench.ask(Method.CHANNEL_BIND, channel)
    bench.ask(Method.REFRESH, [(stun.LIFETIME, 3600)])

    def passes() -> tuple[bool, bool]:
        bench.server.receive(channel_data(0x4000, b"x", padded=False), client(), bench.now)
        bench.server.receive_from_peer(relayed, PEER, b"x", bench.now)
        return bool(bench.server.datagrams_to_relay()), bool(bench.server.packets_to_send())

    bench.now += 299
    assert passes() == (True, True)
    bench.now += 2
    assert passes() == (False, False), "the permission is over"
    bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, PEER)])
    assert passes() == (True, True), "the channel is not"
    bench.now += 298
    assert passes() == (True, True)
    bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, PEER)])
    bench.now += 2
    assert passes() == (False, True), "the channel is over; Data indications remain"
    bench.ask(Method.CHANNEL_BIND, [(stun.CHANNEL_NUMBER, 0x4FFF), (stun.XOR_PEER_ADDRESS, PEER)])


def test_an_allocation_ends_by_itself() -> None:
    bench = Bench()
    assert bench.server.next_timer() is None
    relayed = bench.allocated()
    bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, PEER)])
    assert bench.server.next_timer() == bench.now + 600
    bench.server.receive_from_peer(relayed, PEER, b"late", bench.now + 600)
    assert bench.server.packets_to_send() == []
    bench.server.handle_timer(bench.now + 599)
    assert bench.server.allocations == 1
    bench.server.handle_timer(bench.now + 600)
    assert bench.server.allocations == 0 and bench.server.freed() == [relayed] and bench.server.freed() == []
    assert bench.server.next_timer() is None


def test_a_client_that_refreshes_keeps_its_relay_for_an_hour() -> None:
    caller = Caller(Bench())
    caller.allocate()
    caller.turn.bind_channel(PEER, caller.bench.now)
    caller.go()
    end = caller.bench.now + 3600
    while caller.bench.now < end:
        due = caller.turn.next_timer()
        assert due is not None
        caller.bench.now = due
        caller.go()
        assert caller.receive_from_peer(PEER, b"x") == [turn_events.Data(PEER, b"x")]
        caller.turn.send(PEER, b"y")
        caller.go()
        assert caller.to_peers.pop()[2] == b"y"
    assert not [event for event in caller.events if isinstance(event, turn_events.Refused | turn_events.TimedOut)]


def test_a_connection_that_is_gone_takes_its_allocation_along() -> None:
    bench = Bench()
    path = client(transport=Transport.TCP)
    relayed = bench.allocated(path)
    assert bench.server.has_allocation(path) and not bench.server.has_allocation(client())
    bench.server.client_gone(client())
    assert bench.server.allocations == 1
    bench.server.client_gone(path)
    bench.server.client_gone(path)
    assert bench.server.freed() == [relayed] and not bench.server.has_allocation(path)


def test_datagrams_larger_than_media_are_are_not_relayed() -> None:
    caller = Caller(Bench())
    caller.allocate()
    caller.turn.create_permission([PEER[0]], caller.bench.now)
    caller.go()
    assert len(caller.receive_from_peer(PEER, bytes(RELAYED_MAX_BYTES))) == 1
    assert caller.receive_from_peer(PEER, bytes(RELAYED_MAX_BYTES + 1)) == []
    caller.turn.send(PEER, bytes(RELAYED_MAX_BYTES + 1))
    assert caller.go() == [] and caller.to_peers == []


def test_the_largest_that_is_relayed_fits_what_a_client_reads() -> None:
    caller = Caller(Bench(), client(transport=Transport.TCP, server=("2001:db8::1", 3478)))
    relayed = caller.allocate()
    peer = ("2001:db8::9", 65535)
    caller.turn.create_permission([peer[0]], caller.bench.now)
    caller.go()
    caller.bench.server.receive_from_peer(relayed, peer, bytes(RELAYED_MAX_BYTES), caller.bench.now)
    ((_, packet),) = caller.bench.server.packets_to_send()
    assert StreamDeframer().feed(packet) == [packet]


def test_binding_needs_no_credentials() -> None:
    bench = Bench()
    (said,) = bench.send(Message(Method.BINDING, MessageClass.REQUEST, bytes(12)).encode(), client())
    answer = stun.parse(said)
    assert answer.get(stun.XOR_MAPPED_ADDRESS) == client().remote and answer.get(stun.SOFTWARE) == "bench"


@pytest.mark.parametrize("packet", [
    b"", b"\x16\xfe\xfd", b"GET / HTTP/1.1\r\n\r\n", bytes(20), channel_data(0x4000, b"x", padded=False), b"\x40",
    Message(Method.BINDING, MessageClass.SUCCESS, bytes(12)).encode(),
    Message(Method.ALLOCATE, MessageClass.ERROR, bytes(12), [(stun.ERROR_CODE, ErrorCode(401))]).encode(),
    Message(Method.DATA, MessageClass.INDICATION, bytes(12)).encode(),
    Message(Method.DATA, MessageClass.REQUEST, bytes(12)).encode(),
    Message(Method.SEND, MessageClass.INDICATION, bytes(12)).encode(),
    Message(0x0FF, MessageClass.REQUEST, bytes(12)).encode(),
])  # fmt: skip
def test_what_asks_for_nothing_is_not_answered(packet: bytes) -> None:
    assert Bench().send(packet, client()) == []


def test_a_send_indication_with_what_must_be_understood_is_dropped() -> None:
    bench = Bench()
    bench.allocated()
    bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, PEER)])
    attributes: stun.Attributes = [(stun.XOR_PEER_ADDRESS, PEER), (stun.DATA, b"x"), (stun.DONT_FRAGMENT, True)]
    assert bench.send(Message(Method.SEND, MessageClass.INDICATION, bytes(12), attributes).encode(), client()) == []
    assert bench.server.datagrams_to_relay() == []
    bench.send(Message(Method.SEND, MessageClass.INDICATION, bytes(12), attributes[:2]).encode(), client())
    assert len(bench.server.datagrams_to_relay()) == 1


def test_only_an_indication_sends_and_only_with_a_peer_and_data() -> None:
    bench = Bench()
    bench.allocated()
    bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, PEER)])
    whole: stun.Attributes = [(stun.XOR_PEER_ADDRESS, PEER), (stun.DATA, b"x")]
    for kind, attributes in (
        (MessageClass.SUCCESS, whole), (MessageClass.ERROR, whole), (MessageClass.INDICATION, whole[:1]),
        (MessageClass.INDICATION, whole[1:]),
    ):  # fmt: skip
        assert bench.send(Message(Method.SEND, kind, bytes(12), attributes).encode(), client()) == []
    assert bench.server.datagrams_to_relay() == []


def test_what_comes_after_an_allocations_end_is_not_relayed_however_late_the_timer_is() -> None:
    bench = Bench()
    relayed = bench.allocated()
    bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, PEER)])
    bench.now += 599
    bench.ask(Method.CREATE_PERMISSION, [(stun.XOR_PEER_ADDRESS, PEER)])
    bench.now += 1
    bench.server.receive_from_peer(relayed, PEER, b"late", bench.now)
    send = Message(Method.SEND, MessageClass.INDICATION, bytes(12), [(stun.XOR_PEER_ADDRESS, PEER), (stun.DATA, b"x")])
    assert bench.send(send.encode(), client()) == [] and bench.server.datagrams_to_relay() == []


def test_whoever_has_no_credentials_is_answered_so_often_and_no_more() -> None:
    bench = Bench(answers=RateLimit(1.0, 3.0))
    allocate = Message(Method.ALLOCATE, MessageClass.REQUEST, bytes(12), ALLOCATE).encode()
    assert sum(len(bench.send(allocate, client(port))) for port in range(10)) == 3, "whatever the port"
    binding = Message(Method.BINDING, MessageClass.REQUEST, bytes(12)).encode()
    assert bench.send(binding, client()) == []
    bench.now += 1.0
    assert len(bench.send(binding, client())) == 1


def test_whoever_has_them_is_not_limited() -> None:
    bench = Bench(answers=RateLimit(0.001, 1.0))
    nonce = bench.nonce(client())
    for number in range(20):
        answer = bench.ask(Method.ALLOCATE if number == 0 else Method.REFRESH, ALLOCATE, nonce=nonce)
        assert answer.message_class is MessageClass.SUCCESS


# Faults, which tests of clients ask for


def test_a_mute_server_says_nothing_and_relays_nothing() -> None:
    caller = Caller(Bench())
    caller.allocate()
    caller.turn.bind_channel(PEER, caller.bench.now)
    caller.go()
    caller.bench.server.faults = Faults(mute=True)
    caller.turn.send(PEER, b"x")
    assert caller.go() == [] and caller.to_peers == []
    assert caller.receive_from_peer(PEER, b"x") == []
    assert caller.bench.send(Message(Method.BINDING, MessageClass.REQUEST, bytes(12)).encode(), caller.path) == []


@pytest.mark.parametrize(("faults", "out", "back"), [
    (Faults(lose_to_peers=True), 0, 1), (Faults(lose_from_peers=True), 1, 0), (Faults(), 1, 1),
])  # fmt: skip
def test_data_can_be_lost_one_way(faults: Faults, out: int, back: int) -> None:
    caller = Caller(Bench())
    caller.allocate()
    caller.turn.create_permission([PEER[0]], caller.bench.now)
    caller.go()
    caller.bench.server.faults = faults
    caller.turn.send(PEER, b"x")
    caller.go()
    assert len(caller.to_peers) == out
    assert len(caller.receive_from_peer(PEER, b"x")) == back


@pytest.mark.parametrize(("method", "code"), [(Method.ALLOCATE, 508), (Method.CREATE_PERMISSION, 403)])
def test_a_method_can_be_refused(method: Method, code: int) -> None:
    caller = Caller(Bench())
    caller.bench.server.faults = Faults(refuse={method: code})
    caller.turn.start_allocate(caller.bench.now)
    caller.go()
    if method is Method.CREATE_PERMISSION:
        caller.turn.create_permission([PEER[0]], caller.bench.now)
        caller.go()
    (refused,) = [event for event in caller.events if isinstance(event, turn_events.Refused)]
    assert (refused.method, refused.code) == (method, code)


def test_of_an_allowed_peer_only_the_ports_that_may_be_reached_and_other_relays() -> None:
    bench = Bench(may_reach=lambda peer: peer == PEER)
    caller, other = Caller(bench), Caller(bench, client(40001), ("other", "secret"))
    relayed, other_relayed = caller.allocate(), other.allocate()
    beside = (PEER[0], PEER[1] + 1)
    caller.turn.create_permission([PEER[0], other_relayed[0]], bench.now)
    caller.go()
    for peer in (beside, PEER, other_relayed):
        caller.turn.send(peer, b"x")
    caller.go()
    assert caller.to_peers == [(relayed, PEER, b"x"), (relayed, other_relayed, b"x")]
    assert caller.receive_from_peer(beside, b"x") == []
    assert caller.receive_from_peer(PEER, b"y") == [turn_events.Data(PEER, b"y")]
