# Invariant: whatever the bytes and whoever sends them, the server's core never raises, answers nothing but requests,
# and holds no more than its limits; without a permission no datagram is relayed either way.

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire import stun
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.turn_auth import rest_password, user_of
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_stream import channel_data
from tests.servers.turn_bench import ALLOCATE, PEER, SERVER, USERS, Bench, client

TID = bytes(range(12))
PATHS = [client(), client(40001), client(transport=Transport.TCP)]
REAL = [
    Message(Method.BINDING, MessageClass.REQUEST, TID).encode(fingerprint=True),
    Message(Method.ALLOCATE, MessageClass.REQUEST, TID, ALLOCATE).encode(),
    Bench().signed(Method.ALLOCATE, ALLOCATE, ("user", "password"), b"nonce", TID),
    Message(Method.SEND, MessageClass.INDICATION, TID, [(stun.XOR_PEER_ADDRESS, PEER), (stun.DATA, b"x")]).encode(),
    channel_data(0x4000, b"data", padded=True),
]
ROWS: st.SearchStrategy[tuple[stun.AttributeType[object], object]] = st.one_of(
    st.tuples(st.just(stun.XOR_PEER_ADDRESS), st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))),
    st.tuples(st.just(stun.CHANNEL_NUMBER), st.integers(0, 0xFFFF)),
    st.tuples(st.just(stun.LIFETIME), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(stun.REQUESTED_TRANSPORT), st.integers(0, 255)),
    st.tuples(st.just(stun.REQUESTED_ADDRESS_FAMILY), st.integers(0, 255)),
    st.tuples(st.just(stun.EVEN_PORT), st.binary(max_size=4)),
    st.tuples(st.just(stun.DATA), st.binary(max_size=20)),
    st.tuples(st.just(stun.DONT_FRAGMENT), st.just(True)),
)


def limited() -> Bench:
    return Bench(limits=Limits(allocations_per_user=2, allocations=3))


def is_answer(said: bytes) -> bool:
    return stun.parse(said).message_class in (MessageClass.SUCCESS, MessageClass.ERROR)


def feed(bench: Bench, packets: list[bytes]) -> None:
    for number, packet in enumerate(packets):
        bench.now += 0.1
        assert all(is_answer(said) for said in bench.send(packet, PATHS[number % len(PATHS)]))
    assert bench.server.allocations == 0, "nobody was authenticated"
    bench.server.receive_from_peer((SERVER[0], 50000), PEER, b"x", bench.now)
    assert bench.server.datagrams_to_relay() == [] and bench.server.packets_to_send() == []


@given(st.lists(st.binary(max_size=100) | st.binary(max_size=100).map(lambda tail: REAL[1][:20] + tail), max_size=10))
def test_any_bytes(packets: list[bytes]) -> None:
    feed(limited(), packets)


@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4))
def test_real_packets_cut_and_changed(packet: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(packet)
    for at, value in changes:
        changed[at % len(changed)] = value
    feed(limited(), [bytes(changed), *(packet[: at % len(packet)] for at, _ in changes)])


REQUESTS = st.tuples(
    st.sampled_from(PATHS),
    st.sampled_from(list(Method)[1:]),
    st.lists(ROWS, max_size=4),
    st.sampled_from(sorted(USERS)),
)


@given(st.lists(REQUESTS, max_size=25), st.floats(0, 400))
def test_authenticated_requests_of_any_content(
    requests: list[tuple[Path, Method, stun.Attributes, str]], pause_s: float
) -> None:
    bench = limited()
    nonces = {path: bench.nonce(path) for path in PATHS}
    for path, method, attributes, user in requests:
        bench.now += pause_s
        packet = bench.signed(method, attributes, (user, USERS[user].reveal()), nonces[path], bench.transaction_id())
        said = bench.send(packet, path)
        assert all(is_answer(one) for one in said) and len(said) <= 1
        assert bench.server.datagrams_to_relay() == [], "only requests were sent"
        assert bench.server.allocations <= 3
    bench.server.handle_timer(bench.now + 3600)
    assert bench.server.allocations == 0


@given(st.text(max_size=30), st.floats(0, 1e12))
def test_any_user_name(username: str, unix_time_s: float) -> None:
    password = rest_password(USERS["user"], username, unix_time_s)
    assert user_of(username) == username or username.endswith(":" + user_of(username))
    if password is not None:
        assert float(username.partition(":")[0]) > unix_time_s


def test_the_server_that_is_fuzzed_works() -> None:
    assert limited().ask(Method.ALLOCATE, ALLOCATE).message_class is MessageClass.SUCCESS
