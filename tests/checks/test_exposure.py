"""env.control, client.udp-egress, port.api-exposure and port.turn-listener, each made to fail for real on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Callable, Iterator

import msgspec
import pytest

from calls_doctor.model.check import CheckResult, Evidence, Finding, Status
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Transport
from calls_doctor.model.site import MediaAddress, Mode, Phase, ServerUri, Site
from calls_doctor.net import documents_client
from calls_doctor.net.paired import PairedHost
from calls_doctor.spec import Context
from calls_doctor.standin.launch import Options
from calls_doctor.standin.server import StandIn
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire import stun
from checks import exposure, ports
from checks import stun as stun_checks
from tests.servers.media_host import behind, context, media_host, paired, result
from tests.servers.middlebox import HOST, Tcp, drop
from tests.servers.plain_sockets import PlainUdp
from tests.servers.turn_servers import tcp_listener


@pytest.fixture
def quick(short_silence: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - a fixture asks so
    """A tenth of every silence."""
    monkeypatch.setattr(exposure, "CONNECT_S", 0.3)
    monkeypatch.setattr(documents_client, "SCHEDULE_S", (0.0, 0.05))
    monkeypatch.setattr(documents_client, "SILENCE_S", 0.1)


def told(*, control_port: int = 0, api_port: int = 0) -> Facts:
    return Facts(
        local_addresses=[HOST], public_addresses=[HOST], media_port=1, announced=[], needs_stun=False, stun=[],
        control_port=control_port, api_port=api_port,
    )  # fmt: skip


def found(check: str, evidence: Evidence, status: Status = Status.FAIL) -> dict[str, CheckResult]:
    return {check: result(check, Finding(status=status, summary="", evidence=evidence))}


# env.control


async def test_a_closed_port_stays_closed(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        port = free_port()
        finding = await exposure.control_probe(context(paired(stand_in.ready), facts=told(control_port=port)))
    assert finding.status is Status.PASS and "refused" in finding.summary
    assert finding.evidence == {"control_port": port, "result": "refused"}


async def test_one_that_somebody_opens_fails() -> None:
    async with media_host() as stand_in, tcp_listener() as port:
        finding = await exposure.control_probe(context(paired(stand_in.ready), facts=told(control_port=port)))
    assert (finding.status, finding.evidence) == (Status.FAIL, {"control_port": port, "result": "opened"})
    assert finding.target == f"{HOST}:{port}/tcp"


async def test_without_a_port_or_the_stand_ins_word_nothing_is_known() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        assert (await exposure.control_probe(context(host, facts=told()))).status is Status.SKIP
        assert (await exposure.control_probe(context(host))).status is Status.UNKNOWN


async def test_where_no_route_leads_there_nothing_is_controlled() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        nowhere = PairedHost(stand_in.ready.pairing, MediaAddress(host="255.255.255.255"))
        finding = await exposure.control_probe(context(nowhere, facts=told(control_port=9)))
    assert (finding.status, finding.evidence["result"]) == (Status.UNKNOWN, "no-route")


async def test_a_machine_that_has_no_socket_left_controls_nothing(free_port: Callable[[], int]) -> None:
    port = free_port()
    async with media_host() as stand_in:
        given = context(paired(stand_in.ready), facts=told(control_port=port))
        with no_socket_left():
            finding = await exposure.control_probe(given)
    assert (finding.status, finding.evidence["result"]) == (Status.UNKNOWN, "not-sent")
    assert finding.summary.endswith("could not be sent from this machine (EMFILE, Too many open files)")


@contextlib.contextmanager
def no_socket_left() -> Iterator[None]:
    """The process may open no descriptor more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = os.dup(0)
    os.close(next_one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# client.udp-egress, over what the checks before it really found


async def signs(given: Context, stun_port: int) -> dict[str, CheckResult]:
    """The echoes towards the stand-in, and a STUN server, as the runner hands them over."""
    site = Site(phase=Phase.PRE, stun=(ServerUri(scheme="stun", host=HOST, port=stun_port),))
    probes = {
        "port.rtc-udp-echo": ports.rtc_udp_echo_probe(given),
        "port.rtc-tcp-echo": ports.rtc_tcp_echo_probe(given),
        "stun.reach": stun_checks.reach_probe(context(None, site=site)),
    }
    findings = await asyncio.gather(*probes.values())
    return {name: result(name, finding) for name, finding in zip(probes, findings, strict=True)}


async def test_udp_that_is_answered_by_anybody_passes() -> None:
    async with behind() as host, StunServer([HOST]) as server:
        finding = await exposure.udp_egress_probe(context(host, results=await signs(context(host), server.port)))
    assert finding.status is Status.PASS
    assert finding.evidence["answered"] == ["stun.reach", "port.rtc-udp-echo"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("tcp", "works"), [(Tcp.PASS, True), (Tcp.CLOSED, False)])
async def test_udp_that_nobody_answers_fails_and_says_whether_tcp_works(tcp: Tcp, works: bool) -> None:
    async with behind(drop(), tcp=tcp) as host, PlainUdp() as mute:
        results = await signs(context(host), mute.address[1])
        finding = await exposure.udp_egress_probe(context(host, results=results))
    assert finding.status is Status.FAIL
    assert (finding.evidence["answered"], finding.evidence["tcp_works"]) == ([], works)


@pytest.mark.usefixtures("quick")
async def test_one_place_alone_does_not_tell() -> None:
    async with behind(drop(), tcp=Tcp.CLOSED) as host:
        echo = {"port.rtc-udp-echo": result("port.rtc-udp-echo", await ports.rtc_udp_echo_probe(context(host)))}
    finding = await exposure.udp_egress_probe(context(None, results=echo))
    assert (finding.status, finding.evidence["asked"]) == (Status.UNKNOWN, ["port.rtc-udp-echo"])
    assert (await exposure.udp_egress_probe(context(None))).status is Status.UNKNOWN


async def test_a_refusal_is_an_answer(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        given = context(paired(stand_in.ready, free_port()))
        echo = {"port.rtc-udp-echo": result("port.rtc-udp-echo", await ports.rtc_udp_echo_probe(given))}
    assert (await exposure.udp_egress_probe(context(None, results=echo))).status is Status.PASS


GATEWAY, EDGE, MEDIA, TURN = "10.1.2.1", "198.51.100.1", "203.0.113.20", "turn:turn.example.com:3478?transport=udp"


@pytest.mark.parametrize(("by", "turn_by", "status"), [
    (GATEWAY, GATEWAY, Status.FAIL), (GATEWAY, EDGE, Status.PASS), ("", "", Status.PASS), (EDGE, "silent", Status.PASS),
], ids=["a router, for both", "each by another", "by themselves", "by the one's firewall"])  # fmt: skip
async def test_a_router_that_refuses_in_the_name_of_all_answers_for_nobody(
    by: str, turn_by: str, status: Status
) -> None:
    """A caller's own NAT that rejects UDP; a refusal of the far end's own is an answer."""
    row = {"uri": TURN, "transport": "udp", "ok": False, "trouble": "refused", "refused_by": turn_by}
    if turn_by == "silent":
        row |= {"trouble": "silent", "refused_by": ""}
    listener = found("turn.challenge", {"servers": [row]})
    echo = found("port.rtc-udp-echo", {"returned": 0, "trouble": "refused", "refused_by": by})
    echo = {name: msgspec.structs.replace(one, target=f"{MEDIA}:8443/udp") for name, one in echo.items()}
    finding = await exposure.udp_egress_probe(context(None, results=echo | listener))
    assert finding.status is status
    assert (GATEWAY in finding.summary) is (status is Status.FAIL)


async def test_what_was_not_asked_is_no_sign() -> None:
    skipped = found("stun.reach", {"servers": [{"answered": 1}]}, Status.SKIP)
    finding = await exposure.udp_egress_probe(context(None, results=skipped))
    assert (finding.status, finding.evidence["asked"]) == (Status.UNKNOWN, [])


async def test_servers_over_tcp_say_nothing_of_udp() -> None:
    rows = [{"transport": "tcp", "ok": True}, {"transport": "udp", "ok": False, "detail": "silent"}]
    results = found("port.turn-listener", {"servers": rows}) | found("turn.challenge", {"servers": rows[:1]})
    finding = await exposure.udp_egress_probe(context(None, results=results))
    assert (finding.status, finding.evidence["asked"]) == (Status.UNKNOWN, ["port.turn-listener"])


async def test_udp_that_comes_as_far_as_the_servers_leaves_this_network() -> None:
    reach = found("stun.reach", {"servers": [{"answered": 0, "trouble": "silent"}]})

    async def status(side: str, arrived: int | None, ttl: int = 3) -> Status:
        hop = {"address": HOST, "side": side, "ttl": ttl}
        silent = {"returned": 0, "trouble": "silent", "arrived": arrived, "last_hop": hop}
        echo = found("port.rtc-udp-echo", silent)
        return (await exposure.udp_egress_probe(context(None, results=reach | echo))).status

    assert await status("servers", 0) is await status("servers", None) is Status.UNKNOWN
    assert await status("", 0) is await status("servers", 6) is Status.FAIL, "what arrives and is not answered is shut"
    assert await status("servers", 0, ttl=1) is Status.FAIL, "the first hop is this network's own way out"


@pytest.mark.parametrize("word", ["no-route", "forbidden", "not-sent"])
async def test_what_left_nowhere_asked_nobody(word: str) -> None:
    reach = found("stun.reach", {"servers": [{"answered": 0, "trouble": word}]})
    echo = found("port.rtc-udp-echo", {"returned": 0, "trouble": word})
    finding = await exposure.udp_egress_probe(context(None, results=reach | echo))
    assert (finding.status, finding.evidence["asked"]) == (Status.UNKNOWN, [])


# port.api-exposure

API_TOO = Options(without=frozenset({"stun", "turn"}))


def caller(mapped: str, over: Transport = Transport.UDP) -> dict[str, CheckResult]:
    silent = found("port.rtc-udp-echo", {"mapped": None})
    return silent | found(f"port.rtc-{over}-echo", {"mapped": [mapped, 1]}, Status.PASS)


@pytest.mark.parametrize(
    ("results", "clients", "nodes", "status"),
    [
        (caller("198.51.100.1"), ("0.0.0.0/0",), (), Status.FAIL),
        (caller("198.51.100.1", Transport.TCP), ("0.0.0.0/0",), (), Status.FAIL),
        (caller("198.51.100.1"), ("0.0.0.0/0",), ("198.51.100.0/24",), Status.WARN),
        (caller("10.0.5.1"), ("0.0.0.0/0",), (), Status.WARN),
        (caller("10.0.5.1"), ("10.0.5.0/24", "fd00::/8"), (), Status.FAIL),
        ({}, ("0.0.0.0/0",), (), Status.WARN),
    ],
    ids=["public", "public, seen over TCP", "a Mattermost node", "private", "in a clients' network", "not seen"],
)
async def test_an_api_that_answers_a_caller(
    results: dict[str, CheckResult], clients: tuple[str, ...], nodes: tuple[str, ...], status: Status
) -> None:
    site = Site(phase=Phase.PRE, media=(MediaAddress(host=HOST),), client_networks=clients, mattermost_networks=nodes)
    async with StandIn(API_TOO) as stand_in:
        assert stand_in.ready is not None
        facts = told(api_port=stand_in.ready.api_port)
        given = context(paired(stand_in.ready), facts=facts, site=site, results=results)
        finding = await exposure.api_exposure_probe(given)
    assert finding.status is status and "HTTP 200" in finding.summary
    assert finding.evidence["caller_may_not"] is (status is Status.FAIL)


async def test_something_that_is_no_http_answers_too() -> None:
    async with media_host() as stand_in, tcp_listener(b"SSH-2.0-x\r\n\r\n") as port:
        given = context(paired(stand_in.ready), facts=told(api_port=port), results=caller("198.51.100.1"))
        finding = await exposure.api_exposure_probe(given)
    assert finding.status is Status.FAIL and "not HTTP" in finding.summary


async def test_an_api_that_is_shut_passes_where_something_listens_behind(free_port: Callable[[], int]) -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        finding = await exposure.api_exposure_probe(context(host, facts=told(api_port=free_port())))
        assert finding.status is Status.PASS and "refused" in finding.summary
        assert (await exposure.api_exposure_probe(context(host, facts=told()))).status is Status.SKIP


async def test_nothing_heard_of_the_stand_in_proves_no_shut_api(
    free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposure, "API_PORT", free_port())
    async with media_host() as stand_in:
        finding = await exposure.api_exposure_probe(context(paired(stand_in.ready)))
    assert finding.status is Status.UNKNOWN


def test_a_mode_without_rtcd_has_no_api_to_shut() -> None:
    spec = next(one for one in exposure.CHECKS if one.id == "port.api-exposure")
    assert "has no rtcd" in spec.nothing_to_do(Site(mode=Mode.INTEGRATED, paired=True))
    assert spec.nothing_to_do(Site(paired=True)) == ""
    assert "--peer" in spec.nothing_to_do(Site(mode=Mode.RTCD, rtcd_url="http://a"))


# port.turn-listener


def turn(*ways: tuple[int, str]) -> Context:
    uris = (ServerUri(scheme="turn", host=HOST, port=port, transport=transport) for port, transport in ways)
    return context(None, turn=tuple(uris))


async def test_a_listener_that_answers_passes() -> None:
    async with StunServer([HOST]) as server:
        finding = await exposure.turn_listener_probe(turn((server.port, "udp"), (server.port, "tcp")))
    assert finding.status is Status.PASS
    assert [row["mapped"][0] for row in finding.evidence["servers"]] == [HOST, HOST]


async def test_one_transport_that_is_shut_is_a_warning_and_all_a_failure(free_port: Callable[[], int]) -> None:
    async with StunServer([HOST]) as server:
        finding = await exposure.turn_listener_probe(turn((server.port, "udp"), (free_port(), "tcp")))
        assert finding.status is Status.WARN and "refused" in finding.summary
    finding = await exposure.turn_listener_probe(turn((free_port(), "udp"), (free_port(), "tcp")))
    assert finding.status is Status.FAIL


@pytest.mark.usefixtures("quick")
async def test_silence_and_something_else_that_listens_fail() -> None:
    async with PlainUdp() as mute, tcp_listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        finding = await exposure.turn_listener_probe(turn((mute.address[1], "udp"), (port, "tcp")))
    assert finding.status is Status.FAIL
    assert all(not row["ok"] and row["detail"] for row in finding.evidence["servers"])


async def test_a_listener_that_refuses_is_there() -> None:
    async def refuse(sock: PlainUdp) -> None:
        request, sender = await sock.receive()
        error = [(stun.ERROR_CODE, stun.ErrorCode(420, "Unknown Attribute"))]
        answer = stun.Message(1, stun.MessageClass.ERROR, stun.parse(request).transaction_id, error)
        await sock.send(answer.encode(), sender)

    async with PlainUdp() as server:
        refusing = asyncio.create_task(refuse(server))
        finding = await exposure.turn_listener_probe(turn((server.address[1], "udp")))
        await refusing
    (row,) = finding.evidence["servers"]
    assert (finding.status, row["ok"]) == (Status.PASS, True) and "420" in row["detail"]


async def test_without_a_turn_server_the_listener_check_has_nothing_to_do() -> None:
    site = Site(phase=Phase.PRE, paired=True)
    finding = await exposure.turn_listener_probe(context(None, site=site, facts=told()))
    assert (finding.status, finding.evidence) == (Status.SKIP, {"nothing_to_do": True})
    assert "--as turn" in finding.summary
