"""A call through rtcd, stage by stage: what is said of each that is not reached, and that every session leaves. What
comes after DTLS, and a call that goes well, is for rtcd itself to show (tests/interop/test_rtcd_call.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from calls_doctor.errors import Cut, Refused, Silence
from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Transport
from calls_doctor.net import rtcd_call, rtcd_member
from calls_doctor.net.call import there_and_back
from calls_doctor.net.rtcd_access import RtcdAccess, straight
from calls_doctor.net.rtcd_call import NAME, RtcdOutcome
from calls_doctor.wire.dtls import DtlsRole
from tests.servers.plain_sockets import PlainUdp, eventually
from tests.servers.scripted_rtcd import ANSWER, HOST, OWN_PORT, Script, ScriptedRtcd, scripted_rtcd

SHORT_S = 0.15
UDP_WAYS = [straight(Transport.UDP)] * 2


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage has less time than it has in the field: what is waited for here never comes."""
    for name in ("ANSWER_S", "CANDIDATES_S", "CONNECT_S", "CHANNEL_S", "MORE_CANDIDATES_S"):
        monkeypatch.setattr(rtcd_member, name, SHORT_S)
    for name in ("HELLO_S", "CLOSE_AFTER_FAILURE_S", "ASK_S"):
        monkeypatch.setattr(rtcd_call, name, SHORT_S)


async def held(script: Script, *, sessions: int = 2) -> tuple[ScriptedRtcd, RtcdOutcome]:
    """What came of a call with it; the sessions that joined have left."""
    async with scripted_rtcd(script) as server:
        outcome = await rtcd_call.hold(server.access, UDP_WAYS[:sessions], 0.1)
        return server, outcome


def at(outcome: RtcdOutcome) -> tuple[str, str]:
    failure = outcome.call.failure
    assert failure is not None
    return failure.stage, failure.reason


async def test_nothing_listens(free_port: Callable[[], int]) -> None:
    access = RtcdAccess(url=f"http://{HOST}:{free_port()}", authorization=Secret("Basic eDp5"))
    outcome = await rtcd_call.hold(access, UDP_WAYS, 0.1)
    failure = outcome.call.failure
    assert failure is not None and failure.stage == "hello" and isinstance(failure.trouble, Refused)
    assert outcome.call.near == [] and outcome.signalling == {}


async def test_wrong_credentials_are_a_200() -> None:
    server, outcome = await held(Script(status=200))
    assert at(outcome) == ("hello", "the WebSocket upgrade was refused with 200 (OK)")
    assert outcome.call.failure is not None and outcome.call.failure.code == 200
    assert server.joined == []


async def test_a_websocket_that_greets_nobody() -> None:
    server, outcome = await held(Script(greets=False))
    assert outcome.call.failure is not None and isinstance(outcome.call.failure.trouble, Silence)
    assert at(outcome)[0] == "hello" and server.joined == []


@pytest.mark.parametrize(
    ("status", "asked", "said"),
    [
        (404, "404", "it says itself that it has no such session (status 404): it refused the join"),
        (200, "200", "it says itself that it has the session: it is the offer that it does not answer"),
        (None, "silent", "asked whether it has the session, it says nothing: GET "),
    ],
)
async def test_a_join_without_an_answer_is_asked_after(status: int | None, asked: str, said: str) -> None:
    server, outcome = await held(Script(answers=False, session_status=status))
    stage, reason = at(outcome)
    assert stage == "join" and said in reason
    assert outcome.signalling["asked"] == asked
    assert outcome.signalling["api"] == ("silent" if status is None else "answers")
    assert sorted(server.left) == sorted(join.session_id for join in server.joined)


async def test_of_several_addresses_the_one_that_is_called_is_asked_after_the_join() -> None:
    async with scripted_rtcd(Script(answers=False, session_status=404)) as server:
        another = server.access.url.replace(HOST, "127.0.0.9")  # to which the name leads first: nobody is there
        access = replace(server.access, url=another, host=HOST)
        outcome = await rtcd_call.hold(access, UDP_WAYS, 0.1)
    assert (outcome.signalling["asked"], outcome.signalling["api"]) == ("404", "answers")


async def test_each_session_has_a_name_of_its_own_that_nobody_guesses() -> None:
    server, _ = await held(Script(answers=False))
    assert len({join.session_id for join in server.joined}) == 2 and len({join.call_id for join in server.joined}) == 1
    for name in (server.joined[0].call_id, *(join.session_id for join in server.joined)):
        assert name.startswith(NAME) and len(name) == len(NAME) + 20 and "_" not in name


async def test_a_session_that_rtcd_ends_at_its_offer() -> None:
    _, outcome = await held(Script(answers=False, says="close"))
    assert at(outcome)[0] == "join" and at(outcome)[1].startswith("rtcd ended the session")


async def test_a_websocket_that_is_cut_at_the_join() -> None:
    _, outcome = await held(Script(answers=False, says="cut"))
    failure = outcome.call.failure
    assert failure is not None and failure.stage == "join" and isinstance(failure.trouble, Cut)
    assert outcome.signalling["websocket"] == "cut" and "asked" not in outcome.signalling


async def test_an_answer_that_cannot_be_used() -> None:
    _, outcome = await held(Script(answer=ANSWER.replace("a=setup:active", "a=setup:actpass")))
    assert at(outcome)[0] == "join"
    assert at(outcome)[1].startswith("rtcd's answer cannot be used: the answer takes nothing of what was offered")


async def test_no_candidates() -> None:
    server, outcome = await held(Script(candidates=()))
    assert at(outcome) == ("candidates", "rtcd names no candidate: no address at which it takes media")
    assert len(server.left) == 2 and outcome.signalling["closes_told"] == 2


async def test_candidates_that_nobody_can_try_are_told() -> None:
    candidates = (
        "candidate:1 1 udp 2130706431 0.0.0.0 8443 typ host",
        "candidate:1 1 tcp 1671430143 127.0.0.1 8443 typ host tcptype passive",
        "garbage",
    )
    _, outcome = await held(Script(candidates=candidates))
    assert at(outcome) == (
        "candidates",
        "none of rtcd's candidates can be tried over udp from here: 0.0.0.0:8443/udp, 127.0.0.1:8443/tcp",
    )
    assert outcome.signalling["advertised"] == ["0.0.0.0:8443/udp", "127.0.0.1:8443/tcp"]


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
async def test_a_closed_media_port_is_named_at_once(transport: Transport, free_port: Callable[[], int]) -> None:
    port = free_port()
    kind = "udp 2130706431" if transport is Transport.UDP else "tcp 1671430143"
    candidate = f"candidate:1 1 {kind} {HOST} {port} typ host{' tcptype passive' * (transport is Transport.TCP)}"
    async with scripted_rtcd(Script(candidates=(candidate,))) as server:
        began_s = time.monotonic()
        outcome = await rtcd_call.hold(server.access, [straight(transport)] * 2, 0.1)
        took_s = time.monotonic() - began_s
    failure = outcome.call.failure
    assert failure is not None and failure.stage == "ice" and isinstance(failure.trouble, Refused)
    assert took_s < 1.0


async def test_a_silent_media_port_and_what_was_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtcd_member, "TELL_AFTER_S", SHORT_S / 2)
    async with PlainUdp() as mute:
        candidate = f"candidate:1 1 udp 2130706431 {HOST} {mute.address[1]} typ host"
        server, outcome = await held(Script(candidates=(candidate,)))
    assert at(outcome)[0] == "ice" and at(outcome)[1].startswith("no connectivity check was answered")
    assert sum(path.stun_out for books in outcome.call.near for path in books.paths) > 2
    assert len(server.told) == 2 and {one.candidate.split()[4] for one in server.told} == {HOST}


async def test_of_several_candidates_one_that_answers_is_enough(free_port: Callable[[], int]) -> None:
    async with PlainUdp() as mute:
        ports = (str(free_port()), str(mute.address[1]), OWN_PORT)
        candidates = [f"candidate:1 1 udp 2130706431 {HOST} {port} typ host" for port in ports]
        _, outcome = await held(Script(candidates=candidates))
    assert at(outcome)[0] == "channel", "which is behind ICE and DTLS"
    assert len(outcome.signalling["advertised"]) == 4, "two peers have a port each"


async def test_a_far_end_that_begins_no_handshake() -> None:
    _, outcome = await held(Script(dtls_role=DtlsRole.SERVER))
    assert at(outcome)[0] == "dtls" and "came to no end: 0 datagrams sent" in at(outcome)[1]
    assert all(books.timeline.get("ice") is not None for books in outcome.call.near)


async def test_a_data_channel_that_does_not_open() -> None:
    server, outcome = await held(Script())
    assert at(outcome) == ("channel", f"DTLS is up, and its data channel did not open in {SHORT_S:g} s")
    assert len(server.peers) == len(server.left) == 2


async def test_who_interrupts_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtcd_member, "CHANNEL_S", 5.0)
    async with scripted_rtcd() as server:
        calling = asyncio.create_task(rtcd_call.hold(server.access, UDP_WAYS, 5.0))
        await eventually(lambda: [peer.connection.connected for peer in server.peers] == [True, True])
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert len(server.left) == 2
        assert not any(peer.connection.connected for peer in server.peers)


async def test_what_nobody_could_hear_yet_is_not_missed() -> None:
    _, outcome = await held(Script(candidates=()))
    counted = replace(outcome.call, near=[], unheard=-3)
    assert there_and_back(counted).sent == 3
