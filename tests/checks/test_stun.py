"""stun.reach and stun.public-ip against real servers on loopback: silent, closed, something else, in disagreement."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import diagnose
from calls_doctor.model.check import CheckResult, Finding, Status
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, ServerUri, Site
from calls_doctor.spec import Context
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire import stun as wire
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass
from checks import stun
from tests.servers.media_host import result
from tests.servers.middlebox import HOST
from tests.servers.plain_sockets import PlainUdp

NAME = "stun.example.com"
OTHER_HOST = "127.0.0.2"


def uri(port: int, host: str = HOST) -> ServerUri:
    return ServerUri(scheme="stun", host=host, port=port)


def context(*servers: ServerUri, reach: Finding | None = None) -> Context:
    results = {"stun.reach": result("stun.reach", reach)} if reach else {}
    site = Site(phase=Phase.UNDETERMINED, stun=servers)
    return Context(site=site, credentials=Credentials(), results=results, paired=None, media_time_s=0.3, thorough=False)


async def both(*servers: ServerUri) -> tuple[Finding, Finding]:
    """What both checks find."""
    reach = await stun.reach_probe(context(*servers))
    return reach, await stun.public_ip_probe(context(*servers, reach=reach))


def causes(**findings: Finding) -> list[str]:
    results: list[CheckResult] = [result(f"stun.{name}", finding) for name, finding in findings.items()]
    return [one.cause for one in diagnose(Evidence(Phase.UNDETERMINED, results), CAUSES)]


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME has two addresses."""
    really = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: object, **more: object) -> object:
        if host != NAME:
            return really(host, *arguments, **more)  # type: ignore[arg-type]  # passed on as it came
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in (HOST, OTHER_HOST)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


class Says:
    """A STUN server on a plain socket that answers each request as it is told."""

    def __init__(self, sock: PlainUdp, *answers: Callable[[Message], bytes]) -> None:
        self._sock, self._answers = sock, answers

    async def run(self) -> None:
        for answer in self._answers:
            request, client = await self._sock.receive()
            await self._sock.send(answer(wire.parse(request)), client)


def mapped(ip: str) -> Callable[[Message], bytes]:
    def answer(request: Message) -> bytes:
        return Message(
            1, MessageClass.SUCCESS, request.transaction_id, [(wire.XOR_MAPPED_ADDRESS, (ip, 4711))]
        ).encode()

    return answer


def refusal(request: Message) -> bytes:
    error: wire.Attributes = [(wire.ERROR_CODE, ErrorCode(420, "Unknown Attribute"))]
    return Message(1, MessageClass.ERROR, request.transaction_id, error).encode()


async def test_servers_that_answer_and_agree_pass() -> None:
    async with StunServer([HOST]) as one, StunServer([HOST]) as other:
        reach, public = await both(uri(one.port), uri(other.port))
    assert reach.status is public.status is Status.PASS and causes(reach=reach) == []
    assert [row["answered"] for row in reach.evidence["servers"]] == [stun.TRIES] * 2
    row = reach.evidence["servers"][0]
    assert row["address"] == HOST and 0 < row["rtt_p50_s"] < 0.5 and row["software"].startswith("calls-doctor")
    assert public.evidence["addresses"] == [HOST] and public.evidence["servers_agree"]
    assert "2 servers agree" in public.summary and "loopback" in public.summary


@pytest.mark.usefixtures("two_addresses")
async def test_each_address_of_a_name_is_asked_by_itself() -> None:
    async with StunServer([HOST, OTHER_HOST]) as server:
        reach, public = await both(uri(server.port, NAME))
        assert reach.status is Status.PASS
        assert [row["address"] for row in reach.evidence["servers"]] == [HOST, OTHER_HOST]
        assert public.status is Status.PASS, public.summary  # 127.0.0.1 is what both see
    async with StunServer([HOST]) as server:
        reach, public = await both(uri(server.port, NAME))
        assert reach.status is Status.WARN, "rtcd takes whichever address comes first"
        first, second = reach.evidence["servers"]
        assert first["answered"] == stun.TRIES and (second["answered"], second["trouble"]) == (0, "refused")
        assert f"but not at {OTHER_HOST}" in reach.summary and public.status is Status.PASS
        assert causes(reach=reach) == []


@pytest.mark.parametrize(
    ("vantage", "phase", "echo", "status"),
    [
        (Role.CLIENT, Phase.PRE, Status.PASS, Status.WARN),
        (Role.OFFLOADER, Phase.PRE, Status.PASS, Status.WARN),
        (Role.CLIENT, Phase.PRE, Status.FAIL, Status.FAIL),
        (Role.CLIENT, Phase.UNDETERMINED, None, Status.FAIL),
        (Role.MEDIA, Phase.PRE, Status.PASS, Status.FAIL),
        (Role.CLIENT, Phase.SELF_TEST, Status.PASS, Status.FAIL),
    ],
)
def test_a_caller_whom_the_media_port_answers_calls_without_stun(
    vantage: Role, phase: Phase, echo: Status | None, status: Status
) -> None:
    (spec,) = [one for one in stun.CHECKS if one.id == "stun.reach"]
    assert spec.weighed is not None and spec.weighed_by == ("port.rtc-udp-echo",)
    echoes = {"port.rtc-udp-echo": result("port.rtc-udp-echo", Finding(status=echo, summary=""))} if echo else {}
    silent = Finding(status=Status.FAIL, summary="silent", evidence={"servers": []})
    assert spec.weighed(Site(phase=phase, vantage=vantage), silent, echoes).status is status


async def test_where_no_server_answered_there_is_no_address_to_compare(free_port: Callable[[], int]) -> None:
    _, public = await both(uri(free_port()))
    assert (public.status, public.blocked_by) == (Status.SKIP, "stun.reach")


@pytest.mark.usefixtures("short_silence")
async def test_a_closed_port_a_wrong_name_and_silence_are_told_apart(free_port: Callable[[], int]) -> None:
    reach = await stun.reach_probe(context(uri(free_port())))
    assert reach.status is Status.FAIL and reach.evidence["servers"][0]["trouble"] == "refused"
    assert causes(reach=reach) == ["stun.blocked-client"]
    nobody = await stun.reach_probe(context(uri(3478, "nobody.invalid")))
    row = nobody.evidence["servers"][0]
    assert (nobody.status, row["trouble"], row["address"]) == (Status.FAIL, "unresolved", "")
    assert "nobody.invalid" in nobody.summary
    async with PlainUdp() as mute:
        began = asyncio.get_running_loop().time()
        silent = await stun.reach_probe(context(uri(mute.address[1])))
        assert asyncio.get_running_loop().time() - began < wire.PROBE_DECIDED_S + 0.3
    assert silent.status is Status.FAIL and silent.evidence["servers"][0]["trouble"] == "silent"
    assert "nothing came back" in silent.summary


async def test_a_server_that_answers_once_and_no_more_is_a_warning() -> None:
    async with PlainUdp() as sock:
        serving = asyncio.create_task(Says(sock, mapped(HOST), refusal).run())
        reach = await stun.reach_probe(context(uri(sock.address[1])))
        await serving
    row = reach.evidence["servers"][0]
    assert (reach.status, row["answered"], row["trouble"]) == (Status.WARN, 1, "not-stun")
    assert f"not every time at {HOST}" in reach.summary and "420" in row["trouble_detail"]


async def test_servers_that_disagree_are_named_and_one_nat_with_many_addresses_is_no_ones_fault() -> None:
    async with PlainUdp() as one, PlainUdp() as other:
        inside, outside = ["10.0.0.7"] * stun.TRIES, ["198.51.100.7"] * stun.TRIES
        for told, agree, named in (
            ((outside, outside), True, []),
            ((inside, outside), False, ["stun.wrong-answer"]),
            ((["198.51.100.7", "198.51.100.8", "198.51.100.7"], outside), False, []),
        ):
            serving = [
                asyncio.create_task(Says(sock, *map(mapped, ips)).run())
                for sock, ips in zip((one, other), told, strict=True)
            ]
            reach, public = await both(uri(one.address[1]), uri(other.address[1]))
            await asyncio.gather(*serving)
            assert reach.status is Status.PASS and public.status is (Status.PASS if agree else Status.WARN)
            assert public.evidence["servers_agree"] is agree
            assert causes(reach=reach, **{"public-ip": public}) == named


async def test_ipv4_is_compared_with_ipv4_and_ipv6_with_ipv6() -> None:
    async with StunServer([HOST]) as four, StunServer(["::1"]) as six:
        _, public = await both(uri(six.port, "::1"), uri(four.port))
    assert public.status is Status.PASS and public.evidence["addresses"] == [HOST, "::1"]
    assert f"{HOST} (loopback) and ::1 (loopback)" in public.summary
