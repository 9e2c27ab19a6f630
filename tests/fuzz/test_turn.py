# Invariant: whatever a server says and whenever, the client never raises, asks for nothing without end, believes no
# success that is not signed once it has authenticated, and hands out only data of peers that it had permitted.

from __future__ import annotations

from typing import Any  # each move comes with something of its own type

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.model.flow import Address
from calls_doctor.wire import stun, turn_events
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.turn_stream import channel_data
from tests.servers.turn_script import ALLOCATED, KEY, REALM, Script

PEER: Address = ("203.0.113.9", 8443)
STRANGER: Address = ("203.0.113.99", 8443)
ADDRESSES = st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))
ROWS: st.SearchStrategy[tuple[stun.AttributeType[object], object]] = st.one_of(
    st.sampled_from(ALLOCATED),
    st.tuples(st.just(stun.XOR_PEER_ADDRESS), st.sampled_from([PEER, STRANGER])),
    st.tuples(st.just(stun.XOR_RELAYED_ADDRESS), ADDRESSES),
    st.tuples(st.just(stun.ALTERNATE_SERVER), ADDRESSES),
    st.tuples(st.just(stun.DATA), st.binary(max_size=20)),
    st.tuples(st.just(stun.LIFETIME), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(stun.REALM), st.just(REALM)),
    st.tuples(st.just(stun.NONCE), st.binary(max_size=8)),
    st.tuples(st.just(stun.ERROR_CODE), st.integers(300, 699).map(lambda code: ErrorCode(code, "fuzz"))),
)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("bytes"), st.binary(max_size=60)),
        st.tuples(st.just("time"), st.floats(0, 700, allow_nan=False)),
        st.tuples(st.just("release"), st.none()),
        st.tuples(st.just("bind"), st.none()),
        st.tuples(st.just("indication"), st.lists(ROWS, max_size=3)),
        st.tuples(st.just("channel"), st.integers(0x4000, 0x4002)),
        st.tuples(st.sampled_from(["success", "signed", "error"]), st.lists(ROWS, max_size=5)),
        st.tuples(st.just("cut"), st.integers(0, 60)),
    ),
    max_size=25,
)


def play(script: Script, move: str, what: Any) -> None:
    client, now = script.client, script.now
    if move == "time":
        script.later(what)
    elif move == "release":
        client.release(now)
    elif move == "bind":
        client.bind_channel(PEER, now)
    elif move == "bytes":
        client.receive(what, now)
    elif move == "channel":
        client.receive(channel_data(what, b"x", padded=False), now)
    elif move == "indication":
        client.receive(Message(Method.DATA, MessageClass.INDICATION, bytes(12), what).encode(), now)
    elif move == "cut":
        request = script.request
        whole = Message(request.method, MessageClass.SUCCESS, request.transaction_id, ALLOCATED).encode(KEY)
        client.receive(whole[:what], now)
    else:
        kind = MessageClass.ERROR if move == "error" else MessageClass.SUCCESS
        script.answer(kind, what, key=KEY if move == "signed" else None)


@given(MOVES, st.booleans())
def test_any_server(moves: list[tuple[str, Any]], stream: bool) -> None:
    script = Script(stream=stream)
    script.client.start_allocate(script.now)
    packets = 0
    for move, what in moves:
        signed = script.client._key is not None
        relayed = script.client.relayed
        play(script, move, what)
        if signed and move == "success":
            assert script.client.relayed in (relayed, None), "an unsigned success was believed"
        for event in script.events():
            if isinstance(event, turn_events.Data):
                assert event.peer[0] == PEER[0], "data of a peer that nobody permitted"
        out = script.client.packets_to_send()
        packets += len(out)
        for packet in out:
            message = stun.parse(packet)
            if message.message_class is MessageClass.REQUEST:
                script.request = message
    assert packets <= 4 * (len(moves) + 1), "at most what was asked for, what is due, and one more for each answer"
