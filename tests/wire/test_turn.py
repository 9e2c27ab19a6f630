"""The TURN client's conversation (RFC 8656) with a server whose lines the test writes: each refusal, each loss, each
lifetime. No packet of ours is judged by code of ours where the RFC names the bytes."""

from __future__ import annotations

import pytest

from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Address
from calls_doctor.wire import stun, turn, turn_events
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.turn_stream import channel_data
from tests.servers.turn_script import ALLOCATED, CREDENTIALS, KEY, MAPPED, NONCE, PASSWORD, REALM, RELAYED, USER, Script

PEER: Address = ("203.0.113.9", 8443)
OTHER: Address = ("203.0.113.10", 8443)


# Allocate


def test_the_first_request_names_udp_and_carries_no_credentials() -> None:
    script = Script()
    script.client.start_allocate(script.now, family=2)
    (packet,) = script.client.packets_to_send()
    # type Allocate request, 16 bytes, cookie; REQUESTED-TRANSPORT 17, REQUESTED-ADDRESS-FAMILY IPv6
    assert packet[:8].hex() == "000300102112a442"
    assert packet[20:].hex() == "0019000411000000" + "0017000402000000"
    assert script.client.packets_to_send() == []


def test_challenge_then_credentials_then_a_relay() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    first = script.asks()
    script.challenges()
    assert script.events() == [turn_events.Challenged(REALM, NONCE, "script")]
    second = script.asks()
    assert second.transaction_id != first.transaction_id
    assert (second.get(stun.USERNAME), second.get(stun.REALM), second.get(stun.NONCE)) == (USER, REALM, NONCE)
    assert second.get(stun.REQUESTED_TRANSPORT) == 17 and second.integrity_is_valid(KEY)
    script.says(ALLOCATED)
    assert script.events() == [turn_events.Allocated(RELAYED, MAPPED, 600, "script", True)]
    assert script.client.relayed == RELAYED and script.sent() == []


def test_without_credentials_a_challenge_is_all_there_is_and_an_open_relay_is_told() -> None:
    script = Script(None)
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    assert [type(event) for event in script.events()] == [turn_events.Challenged, turn_events.Refused]
    assert script.sent() == [] and script.client.next_timer() is None
    script.client.start_allocate(script.now)
    script.asks()
    script.says(ALLOCATED, key=None)
    assert script.events() == [turn_events.Allocated(RELAYED, MAPPED, 600, "script", False)]


def test_a_conversation_that_was_challenged_goes_on_with_credentials_that_come_later() -> None:
    script = Script(None)
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    script.client.log_in(CREDENTIALS)
    script.client.start_allocate(script.now)
    request = script.asks()
    assert (request.get(stun.USERNAME), request.get(stun.NONCE)) == (USER, NONCE) and request.integrity_is_valid(KEY)
    script.events()
    script.refuses(401)  # to what was signed: the final word
    assert [type(event) for event in script.events()] == [turn_events.Refused]


@pytest.mark.parametrize("lacks", [stun.REALM, stun.NONCE])
def test_a_challenge_that_lacks_what_it_needs_is_a_refusal(lacks: stun.AttributeType[object]) -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    whole: list[tuple[stun.AttributeType[object], object]] = [(stun.REALM, REALM), (stun.NONCE, NONCE)]  # type: ignore[list-item]  # each row has a type of its own
    script.refuses(401, [row for row in whole if row[0] is not lacks])
    challenged, refused = script.events()
    assert isinstance(challenged, turn_events.Challenged) and isinstance(refused, turn_events.Refused)
    assert refused.code == 401 and script.sent() == []


def test_a_second_401_is_the_final_word_on_the_credentials() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    script.asks()
    script.events()
    script.challenges(b"nonce-2")
    (refused,) = script.events()
    assert refused == turn_events.Refused(Method.ALLOCATE, 401, "because", (), "script")
    assert script.sent() == [] and script.client.next_timer() is None


@pytest.mark.parametrize("code", [400, 403, 437, 441, 442, 486, 508, 500])
@pytest.mark.parametrize("signed", [True, False])
def test_every_other_code_is_told_as_it_is(code: int, signed: bool) -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    script.asks()
    script.events()
    script.refuses(code, key=KEY if signed else None)
    assert script.events() == [turn_events.Refused(Method.ALLOCATE, code, "because")]
    assert script.client.relayed is None and script.sent() == []


def test_another_server_is_named_and_300_without_one_is_a_refusal() -> None:
    script = Script(None)
    script.client.start_allocate(script.now)
    script.asks()
    script.refuses(300, [(stun.ALTERNATE_SERVER, ("192.0.2.99", 3478))])
    assert script.events() == [turn_events.TryAlternate(("192.0.2.99", 3478))]
    script.client.start_allocate(script.now)
    script.asks()
    script.refuses(300)
    assert script.events() == [turn_events.Refused(Method.ALLOCATE, 300, "because")]


# 438


def test_a_stale_nonce_is_replaced_and_nobody_hears_of_it() -> None:
    script = Script()
    script.allocated()
    script.client.create_permission([PEER[0]], script.now)
    old = script.asks()
    script.refuses(438, [(stun.REALM, REALM), (stun.NONCE, b"nonce-2")])
    again = script.asks()
    assert again.get(stun.NONCE) == b"nonce-2" and again.transaction_id != old.transaction_id
    assert again.get(stun.XOR_PEER_ADDRESS) == (PEER[0], 0) and again.integrity_is_valid(KEY)
    script.says()
    assert script.events() == [turn_events.PermissionCreated(((PEER[0], 0),))]
    script.client.bind_channel(PEER, script.now)
    assert script.asks().get(stun.NONCE) == b"nonce-2", "from now on the new one"


def test_a_stale_nonce_may_bring_another_realm() -> None:
    script = Script()
    script.allocated()
    script.client.create_permission([PEER[0]], script.now)
    script.asks()
    script.refuses(438, [(stun.REALM, "other.example.org"), (stun.NONCE, b"nonce-2")])
    again = script.asks()
    assert again.get(stun.REALM) == "other.example.org"
    assert again.integrity_is_valid(stun.long_term_key(USER, "other.example.org", PASSWORD))


def test_nonces_without_end_are_a_refusal() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    for number in range(turn.STALE_NONCE_RETRIES):
        script.asks()
        script.refuses(438, [(stun.NONCE, b"fresh-%d" % number)])
    script.asks()
    script.events()
    script.refuses(438, [(stun.NONCE, b"and-another")])
    assert script.events() == [turn_events.Refused(Method.ALLOCATE, 438, "because")] and script.sent() == []


def test_a_stale_nonce_that_brings_no_new_one_is_a_refusal() -> None:
    script = Script()
    script.allocated()
    script.client.create_permission([PEER[0]], script.now)
    script.asks()
    script.refuses(438)
    assert script.events() == [turn_events.Refused(Method.CREATE_PERMISSION, 438, "because", ((PEER[0], 0),))]


# What is believed


def test_a_success_is_believed_only_with_the_right_integrity() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    script.asks()
    script.events()
    script.says(ALLOCATED, key=None)
    script.says(ALLOCATED, key=bytes(16))
    assert script.events() == [] and script.client.relayed is None and script.client.discarded == 2
    script.says(ALLOCATED)
    assert script.client.relayed == RELAYED


def test_a_refusal_with_a_wrong_integrity_is_dropped_but_for_those_that_cannot_be_signed() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    script.asks()
    script.events()
    script.refuses(486, key=bytes(16))
    assert script.events() == [] and script.client.discarded == 1
    script.refuses(401, key=bytes(16))  # signed with a key that the client cannot know: his own is wrong
    assert [event.code for event in script.events() if isinstance(event, turn_events.Refused)] == [401]


def test_answers_of_other_transactions_and_methods_and_late_twins_change_nothing() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    request = script.asks()
    script.answer(MessageClass.SUCCESS, ALLOCATED, to=Message(3, MessageClass.REQUEST, b"somebody els"))
    script.answer(MessageClass.SUCCESS, ALLOCATED, to=Message(4, MessageClass.REQUEST, request.transaction_id))
    assert script.events() == [] and script.client.relayed is None
    script.challenges()
    script.challenges()  # the answer to what was sent again
    assert len(script.sent()) == 1 and len(script.events()) == 1
    script.says(ALLOCATED)
    script.says(ALLOCATED)
    assert len(script.events()) == 1


def test_an_allocate_answer_that_lacks_the_relay_is_no_answer_and_says_why() -> None:
    script = Script(None)
    script.client.start_allocate(script.now)
    script.asks()
    for lacking in ([(stun.LIFETIME, 600)], [(stun.XOR_RELAYED_ADDRESS, RELAYED)]):
        script.says(lacking, key=None)
        assert script.events() == [] and "lacks" in script.client.unreadable
    script.answer(MessageClass.ERROR, [])
    assert "ERROR-CODE" in script.client.unreadable
    unknown = Message(3, MessageClass.SUCCESS, script.request.transaction_id, ALLOCATED, ((0x7ABC, b"1234"),))
    script.client.receive(unknown.encode(), script.now)
    assert "0x7abc" in script.client.unreadable and script.client.relayed is None
    script.says(ALLOCATED, key=None)
    assert script.client.relayed == RELAYED, "the request still waited"


@pytest.mark.parametrize("packet", [b"", b"\x00", b"\x40", b"\x40\x00\x00\x09abc", b"\xff" * 30, b"HTTP/1.1 400"])
def test_what_is_no_turn_is_remembered_and_does_no_harm(packet: bytes) -> None:
    script = Script()
    script.allocated()
    script.client.receive(packet, script.now)
    assert script.events() == [] and script.sent() == []
    assert script.client.unreadable


def test_requests_from_a_server_are_not_answered() -> None:
    script = Script()
    script.allocated()
    script.client.receive(Message(1, MessageClass.REQUEST, bytes(12)).encode(), script.now)
    assert script.events() == [] and script.sent() == []


# Loss, and when silence is decided


def test_it_is_sent_again_on_the_schedule_unchanged_and_given_up_in_time() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    (first,) = script.client.packets_to_send()
    for at_s in stun.RFC8489_SCHEDULE_S[1:]:
        assert script.client.next_timer() == 1000.0 + at_s
        script.client.handle_timer(1000.0 + at_s - 0.001)
        assert script.client.packets_to_send() == []
        script.client.handle_timer(1000.0 + at_s)
        assert script.client.packets_to_send() == [first]
    assert script.client.next_timer() == 1000.0 + stun.RFC8489_DECIDED_S
    script.client.handle_timer(1000.0 + stun.RFC8489_DECIDED_S)
    assert script.events() == [turn_events.TimedOut(Method.ALLOCATE, stun.RFC8489_DECIDED_S)]
    assert script.client.next_timer() is None and script.sent() == []


@pytest.mark.parametrize("lost", range(1, 7))
def test_any_number_of_lost_packets_on_the_schedule_heals(lost: int) -> None:
    script = Script()
    script.client.start_allocate(script.now)
    (packet,) = script.client.packets_to_send()
    for _ in range(lost):
        due = script.client.next_timer()
        assert due is not None
        script.later(due - script.now)
        assert script.client.packets_to_send() == [packet]
    script.request = stun.parse(packet)
    script.challenges()
    assert script.asks().integrity_is_valid(KEY)
    assert script.client.next_timer() == pytest.approx(script.now + 0.5), "the next request has a schedule of its own"


def test_a_late_timer_sends_once_and_not_in_a_burst() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.sent()
    script.later(8.0)
    assert len(script.sent()) == 1
    assert script.client.next_timer() == 1000.0 + 15.5


def test_an_answer_after_the_end_is_too_late() -> None:
    script = Script(None)
    script.client.start_allocate(script.now)
    script.asks()
    script.later(40.0)
    script.events()
    script.says(ALLOCATED, key=None)
    assert script.events() == [] and script.client.relayed is None


def test_nothing_is_sent_again_on_a_stream() -> None:
    script = Script(stream=True)
    script.client.start_allocate(script.now)
    script.sent()
    script.later(39.0)
    assert script.sent() == [] and script.client.next_timer() == 1000.0 + stun.RFC8489_DECIDED_S
    script.later(0.5)
    assert [type(event) for event in script.events()] == [turn_events.TimedOut]


# Permissions, channels, data


def test_a_permission_names_every_peer_and_a_refusal_says_whom() -> None:
    script = Script()
    script.allocated()
    ips = ["203.0.113.9", "2001:db8::9"]
    script.client.create_permission(ips, script.now)
    assert [ip for ip, _ in script.asks().all(stun.XOR_PEER_ADDRESS)] == ips
    script.refuses(403, key=KEY)
    assert script.events() == [
        turn_events.Refused(Method.CREATE_PERMISSION, 403, "because", tuple((ip, 0) for ip in ips))
    ]
    assert script.client.next_timer() == 1000.0 + 540.0, "what was refused is not refreshed"


def test_data_goes_by_indication_until_a_channel_is_confirmed() -> None:
    script = Script()
    script.allocated()
    script.permitted([PEER[0]])
    script.client.send(PEER, b"one")
    (indication,) = script.sent()
    assert (indication.method, indication.message_class) == (Method.SEND, MessageClass.INDICATION)
    assert (indication.get(stun.XOR_PEER_ADDRESS), indication.get(stun.DATA)) == (PEER, b"one")
    assert indication.integrity_at is None
    number = script.client.bind_channel(PEER, script.now)
    request = script.asks()
    assert number == 0x4000 and request.get(stun.CHANNEL_NUMBER) == number
    assert request.get(stun.XOR_PEER_ADDRESS) == PEER
    script.client.send(PEER, b"two")
    assert [one.method for one in script.sent()] == [Method.SEND] and not script.client.is_bound(PEER)
    script.says(to=request)
    assert script.events() == [turn_events.ChannelBound(PEER, number)] and script.client.is_bound(PEER)
    script.client.send(PEER, b"three")
    assert script.client.packets_to_send() == [b"\x40\x00\x00\x05three"]


@pytest.mark.parametrize(
    ("stream", "wire"), [(False, b"\x40\x00\x00\x05abcde"), (True, b"\x40\x00\x00\x05abcde\0\0\0")]
)
def test_channel_data_is_padded_on_streams_only(stream: bool, wire: bytes) -> None:
    script = Script(stream=stream)
    script.allocated()
    script.bound(PEER)
    script.client.send(PEER, b"abcde")
    assert script.client.packets_to_send() == [wire]


def test_data_is_taken_from_permitted_peers_and_bound_channels_only() -> None:
    script = Script()
    script.allocated()

    def indication(peer: Address) -> bytes:
        attributes: stun.Attributes = [(stun.XOR_PEER_ADDRESS, peer), (stun.DATA, b"x")]
        return Message(Method.DATA, MessageClass.INDICATION, bytes(12), attributes).encode()

    script.client.receive(indication(PEER), script.now)
    script.client.receive(channel_data(0x4000, b"x", padded=False), script.now)
    assert script.events() == []
    script.permitted([PEER[0]])
    script.client.receive(indication((PEER[0], 1)), script.now)  # ports mean nothing to a permission
    script.client.receive(indication(OTHER), script.now)
    assert script.events() == [turn_events.Data((PEER[0], 1), b"x")]
    number = script.bound(PEER)
    script.client.receive(channel_data(number, b"", padded=False), script.now)
    script.client.receive(channel_data(number + 1, b"y", padded=False), script.now)
    assert script.events() == [turn_events.Data(PEER, b"")]
    lacking = Message(Method.DATA, MessageClass.INDICATION, bytes(12), [(stun.DATA, b"x")]).encode()
    script.client.receive(lacking, script.now)
    assert script.events() == []


def test_data_with_something_that_must_be_understood_and_is_not_is_dropped() -> None:
    script = Script()
    script.allocated()
    script.permitted([PEER[0]])
    attributes: stun.Attributes = [(stun.XOR_PEER_ADDRESS, PEER), (stun.DATA, b"hello")]
    for unknown, events in (([(0x7FFF, b"")], []), ([(0xFFFF, b"")], [turn_events.Data(PEER, b"hello")])):
        indication = Message(Method.DATA, MessageClass.INDICATION, bytes(12), attributes, unknown)
        script.client.receive(indication.encode(), script.now)
        assert script.events() == events


def test_each_peer_has_one_channel_and_there_is_an_end_to_them() -> None:
    script = Script()
    script.allocated()
    numbers = [script.client.bind_channel((PEER[0], port), script.now) for port in range(1, 4097)]
    assert (numbers[0], numbers[-1], len(set(numbers))) == (0x4000, 0x4FFF, 4096)
    assert script.client.bind_channel((PEER[0], 7), script.now) == numbers[6]
    with pytest.raises(ValueError, match="no channel left"):
        script.client.bind_channel(OTHER, script.now)


# Refreshes


@pytest.mark.parametrize(("lifetime_s", "after_s"), [(600, 540), (3600, 3540), (100, 50), (60, 30), (1, 1), (0, 1)])
def test_an_allocation_is_refreshed_before_it_ends(lifetime_s: int, after_s: int) -> None:
    script = Script()
    script.allocated([*ALLOCATED[:2], (stun.LIFETIME, lifetime_s)])
    assert script.client.next_timer() == 1000.0 + after_s
    script.later(after_s)
    refresh = script.asks()
    assert refresh.method == Method.REFRESH and refresh.get(stun.LIFETIME) is None
    assert refresh.integrity_is_valid(KEY)
    script.says([(stun.LIFETIME, 900)])
    assert script.events() == [] and script.client.next_timer() == script.now + 840


def test_a_refresh_that_names_no_lifetime_has_the_standards_and_one_of_zero_is_asked_for_again_at_once() -> None:
    for answer, after_s in (([], 540), ([(stun.LIFETIME, 0)], 1)):
        script = Script()
        script.allocated()
        script.later(540)
        script.asks()
        script.says(answer)
        assert script.client.next_timer() == script.now + after_s


def test_permissions_and_channels_are_kept_alive() -> None:
    script = Script()
    script.allocated()
    script.permitted([PEER[0], OTHER[0]])
    script.bound(PEER)
    script.later(240)
    asked = script.sent()
    assert {one.method for one in asked} == {Method.CREATE_PERMISSION, Method.CHANNEL_BIND}
    permission, channel = sorted(asked, key=lambda one: one.method)
    assert permission.all(stun.XOR_PEER_ADDRESS) == [(OTHER[0], 0)], "the channel brings its own along"
    assert channel.get(stun.XOR_PEER_ADDRESS) == PEER
    script.says(to=permission)
    script.says(to=channel)
    assert script.client.next_timer() == script.now + 240


def test_what_is_being_refreshed_is_not_asked_for_again_meanwhile() -> None:
    script = Script()
    script.allocated()
    script.permitted([OTHER[0]])
    script.bound(PEER)
    script.later(240)
    assert len(script.sent()) == 2
    script.later(0.1)
    assert script.sent() == []


def test_a_permission_that_a_channel_brings_along_has_no_time_of_its_own() -> None:
    script = Script()
    script.allocated()
    script.bound(PEER)
    script.now += 100
    script.permitted([PEER[0], OTHER[0]])
    script.later(140)
    assert [one.method for one in script.sent()] == [Method.CHANNEL_BIND]
    script.says()
    script.later(100)
    permission = script.asks()
    assert permission.all(stun.XOR_PEER_ADDRESS) == [(OTHER[0], 0)]


def test_a_refresh_that_is_never_answered_is_tried_again_while_there_is_time() -> None:
    script = Script()
    script.allocated()
    script.permitted([OTHER[0]])
    script.bound(PEER)
    script.later(240)
    assert len(script.sent()) == 2
    script.later(stun.RFC8489_DECIDED_S)
    assert {event.method for event in script.events() if isinstance(event, turn_events.TimedOut)} == {
        Method.CREATE_PERMISSION, Method.CHANNEL_BIND,
    }  # fmt: skip
    script.sent()
    assert script.client.next_timer() == script.now + turn.REFRESH_AGAIN_S
    script.later(turn.REFRESH_AGAIN_S)
    assert {one.method for one in script.sent()} == {Method.CREATE_PERMISSION, Method.CHANNEL_BIND}
    refreshing = Script()
    refreshing.allocated()
    refreshing.later(540)
    refreshing.asks()
    refreshing.later(stun.RFC8489_DECIDED_S)
    assert [type(event) for event in refreshing.events()] == [turn_events.TimedOut]
    refreshing.sent()
    refreshing.later(turn.REFRESH_AGAIN_S)
    assert refreshing.asks().method == Method.REFRESH


def test_what_was_never_there_is_not_refreshed_after_a_silence() -> None:
    script = Script()
    script.allocated()
    script.client.create_permission([PEER[0]], script.now)
    script.client.bind_channel(OTHER, script.now)
    script.later(stun.RFC8489_DECIDED_S)
    script.sent()
    script.later(100)
    assert script.sent() == []


def test_a_refresh_that_finds_no_allocation_says_so() -> None:
    script = Script()
    script.allocated()
    script.later(540)
    script.asks()
    script.refuses(437, key=KEY)
    assert script.events() == [turn_events.Refused(Method.REFRESH, 437, "because")]
    assert script.client.relayed is None and script.client.next_timer() is None


# Release


def test_release_gives_back_and_stops_everything_else() -> None:
    script = Script()
    script.allocated()
    script.bound(PEER)
    script.client.release(script.now)
    refresh = script.asks()
    assert (refresh.method, refresh.get(stun.LIFETIME)) == (Method.REFRESH, 0) and refresh.integrity_is_valid(KEY)
    script.says([(stun.LIFETIME, 0)])
    assert script.events() == [turn_events.Released()]
    assert script.client.relayed is None and script.client.next_timer() is None
    script.later(3600)
    assert script.sent() == []


def test_release_with_nothing_to_give_back_is_done_at_once() -> None:
    script = Script()
    script.client.release(script.now)
    assert script.events() == [turn_events.Released()] and script.sent() == []


def test_release_of_what_the_server_has_forgotten_is_done_too() -> None:
    script = Script()
    script.allocated()
    script.client.release(script.now)
    script.asks()
    script.refuses(437, key=KEY)
    assert script.events() == [turn_events.Released()] and script.client.relayed is None


def test_a_release_that_is_refused_otherwise_is_no_release() -> None:
    script = Script()
    script.allocated()
    script.client.release(script.now)
    script.asks()
    script.refuses(400, key=KEY)
    assert script.events() == [turn_events.Refused(Method.REFRESH, 400, "because")]
    assert script.client.relayed == RELAYED


def test_release_with_a_stale_nonce_is_tried_with_a_new_one() -> None:
    script = Script()
    script.allocated()
    script.client.release(script.now)
    script.asks()
    script.refuses(438, [(stun.NONCE, b"nonce-2")])
    again = script.asks()
    assert (again.get(stun.LIFETIME), again.get(stun.NONCE)) == (0, b"nonce-2")
    script.says([(stun.LIFETIME, 0)])
    assert script.events() == [turn_events.Released()]


def test_release_while_allocating_takes_back_what_was_granted_meanwhile() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    allocate = script.asks()
    script.events()
    script.client.release(script.now)
    assert script.asks().get(stun.LIFETIME) == 0
    script.says(ALLOCATED, to=allocate)  # it was on its way
    assert script.events() == [] and script.client.relayed is None
    script.says([(stun.LIFETIME, 0)])
    assert script.events() == [turn_events.Released()]


def test_release_before_the_challenge_came_still_proves_who_asks() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.client.release(script.now)
    assert script.asks().integrity_at is None
    script.challenges()
    signed = script.asks()
    assert signed.get(stun.LIFETIME) == 0 and signed.integrity_is_valid(KEY)
    script.refuses(437, key=KEY)
    assert script.events()[-1] == turn_events.Released()


def test_release_after_an_allocate_that_nobody_answered_takes_back_what_may_have_been_granted() -> None:
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.challenges()
    script.asks()
    script.later(stun.RFC8489_DECIDED_S)
    assert isinstance(script.events()[-1], turn_events.TimedOut)
    script.client.release(script.now)
    assert script.asks().get(stun.LIFETIME) == 0
    script.refuses(437, key=KEY)
    assert script.events() == [turn_events.Released()]
    script.client.release(script.now)
    assert script.events() == [turn_events.Released()] and script.sent() == []


def test_release_after_a_refusal_or_before_any_credentials_has_nothing_to_give_back() -> None:
    for code in (486, 300):
        script = Script()
        script.client.start_allocate(script.now)
        script.asks()
        script.challenges()
        script.asks()
        script.refuses(code, [(stun.ALTERNATE_SERVER, ("192.0.2.99", 3478))])
        script.events()
        script.client.release(script.now)
        assert script.events() == [turn_events.Released()] and script.sent() == []
    script = Script()
    script.client.start_allocate(script.now)
    script.asks()
    script.later(stun.RFC8489_DECIDED_S)
    script.events()
    script.client.release(script.now)
    assert script.events() == [turn_events.Released()] and script.sent() == []


def test_a_release_that_is_never_answered_ends_too() -> None:
    script = Script()
    script.allocated()
    script.client.release(script.now)
    script.later(stun.RFC8489_DECIDED_S)
    assert [type(event) for event in script.events()] == [turn_events.TimedOut]
    assert script.client.next_timer() is None


# REST credentials


def test_a_rest_credential_is_what_coturn_computes() -> None:
    # echo -n 1700000000:alice | openssl dgst -sha1 -hmac north -binary | base64
    made = turn.rest_credentials(Secret("north"), 1_700_000_000, "alice")
    assert made.username == "1700000000:alice"
    assert made.password.reveal() == "Cd/49soE35ICqcJF/bCTn8Z4OyE="
    assert "Cd/49soE35ICqcJF/bCTn8Z4OyE=" not in repr(made)
