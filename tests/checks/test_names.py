"""dns.*: a system of the test's own making, and real resolvers and hosts on 127.0.0.0/8."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any  # evidence is JSON

import pytest
from msgspec import structs

from calls_doctor.model.check import Finding, Status
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.flow import Role, Transport
from calls_doctor.model.site import MediaAddress, Mode, Phase, ServerUri, Setting, Site
from calls_doctor.net import address_try, name_look_up, name_service, resolver
from calls_doctor.net.address_try import Tried
from calls_doctor.net.paired import PairedHost
from calls_doctor.spec import Context
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.wire import stun
from checks import names
from tests.servers.dns_servers import DnsServer, dns_server
from tests.servers.media_host import media_host, paired
from tests.servers.middlebox import HOST
from tests.servers.turn_servers import tcp_listener

NAME, TURN, STUN = "rtc.example.com", "turn.example.com", "stun.example.com"
NOBODY, NOBODY_6 = "127.0.0.66", "::1"
"""On this machine, where nothing listens."""
PUBLIC = "192.0.2.20"
Names = dict[str, Sequence[str]]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the system knows: name -> addresses."""
    found: Names = {}

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if not found.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "made up")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in found[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of /etc; and a tenth of every silence."""
    for constant, name in (("HOSTS", "hosts"), ("RESOLV_CONF", "resolv.conf"), ("NSSWITCH", "nsswitch.conf")):
        monkeypatch.setattr(name_service, constant, tmp_path / name)
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", tuple(at / 10 for at in stun.PROBE_SCHEDULE_S))
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", stun.PROBE_DECIDED_S / 10)
    monkeypatch.setattr(address_try, "CONNECT_S", 0.3)
    return tmp_path


@asynccontextmanager
async def resolvers(files: Path, monkeypatch: pytest.MonkeyPatch, *servers: DnsServer) -> AsyncIterator[None]:
    """Those of /etc/resolv.conf."""
    async with AsyncExitStack() as stack:
        port = 0
        for number, server in enumerate(servers):
            await stack.enter_async_context(dns_server(server, f"127.0.0.{2 + number}", port))
            port = server.port
        monkeypatch.setattr(name_look_up, "DNS_PORT", port)
        lines = (f"nameserver 127.0.0.{2 + number}\n" for number, _ in enumerate(servers))
        (files / "resolv.conf").write_text("".join(lines))
        yield


def context(host: PairedHost | None = None, **of_site: Any) -> Context:
    usual = Site(phase=Phase.PRE, paired=host is not None, media_names=(NAME,))
    site = structs.replace(usual, **of_site)
    return Context(site=site, credentials=Credentials(), results={}, paired=host, media_time_s=0.3, thorough=False)


def faults(finding: Finding) -> dict[str, tuple[str, list[str]]]:
    """Name -> what is wrong with it, and which addresses show it; of one fault each."""
    return {one["name"]: (one["what"], one["addresses"]) for one in finding.evidence["faults"]}


# names that have no address


@pytest.mark.parametrize(
    ("says", "what", "said"),
    [
        ("nxdomain", "dns.nxdomain", "does not exist (NXDOMAIN)"),
        ([], "dns.nxdomain", "has no address"),
        ("servfail", "dns.servfail", "127.0.0.2: servfail"),
        ("silent", "dns.timeout", "127.0.0.2: silent"),
    ],
)
@pytest.mark.usefixtures("known")
async def test_why_a_name_has_no_address_is_the_resolvers_word(
    says: Sequence[str] | str, what: str, said: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.4)
    async with resolvers(files, monkeypatch, DnsServer({NAME: says})):
        finding = await names.media_names_probe(context())
    (fault,) = finding.evidence["faults"]
    assert (finding.status, fault["what"], fault["detail"]) == (Status.FAIL, what, said)
    assert f"{NAME} has no address here" in finding.summary


@pytest.mark.usefixtures("known")
async def test_a_stun_servers_name_alone_is_a_warning() -> None:
    uri = ServerUri(scheme="stun", host=STUN, port=3478)
    finding = await names.media_names_probe(context(media_names=(), stun=(uri,)))
    assert (finding.status, faults(finding)) == (Status.WARN, {STUN: ("dns.nxdomain", [])})


async def test_a_slow_answer_is_a_warning(known: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_look_up, "SLOW_S", 0.0)
    known[NAME] = [PUBLIC]
    finding = await names.media_names_probe(context())
    assert (finding.status, faults(finding)) == (Status.WARN, {NAME: ("dns.slow", [])})


async def test_resolvers_that_contradict_each_other_are_told_and_no_fault(
    known: Names, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known[NAME] = [PUBLIC]
    async with resolvers(files, monkeypatch, DnsServer({NAME: [PUBLIC]}), DnsServer({NAME: "nxdomain"})):
        finding = await names.media_names_probe(context())
    assert (finding.status, faults(finding)) == (Status.WARN, {})
    assert "127.0.0.3 says nxdomain" in finding.summary


# where names lead


async def media_names(known: Names, *addresses: str, link: str = HOST, **of_site: Any) -> Finding:
    """What is found of a media host that has a stand-in on 127.0.0.1 alone; `link` is the address that its link has."""
    known[NAME] = addresses
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        if link != HOST:
            assert stand_in.ready is not None
            port = stand_in.ready.media_port
            host = PairedHost(stand_in.ready.pairing, MediaAddress(host=link, udp_port=port, tcp_port=port))
            await host.at(HOST, port).echo_once(Transport.UDP)
        return await names.media_names_probe(context(host, **of_site))


async def test_a_name_that_leads_to_the_links_address_is_well(known: Names) -> None:
    finding = await media_names(known, HOST)
    assert (finding.status, faults(finding)) == (Status.PASS, {})
    assert finding.summary.startswith(f"{NAME} is {HOST} (")


async def test_a_private_address_where_the_media_host_answers_is_well(known: Names) -> None:
    """Split DNS: inside, the name gives the address inside."""
    finding = await media_names(known, HOST, link=PUBLIC)
    (address,) = finding.evidence["names"][0]["addresses"]
    assert (finding.status, faults(finding), address["answers"]) == (Status.PASS, {}, True)


async def test_another_public_address_is_wrong_where_the_media_host_is_elsewhere(
    known: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "has_route", lambda _address: True)
    finding = await media_names(known, "192.0.2.99", link=PUBLIC)
    assert (finding.status, faults(finding)) == (Status.FAIL, {NAME: ("dns.wrong-answer", ["192.0.2.99"])})


async def test_ipv6_that_is_dead_where_ipv4_works(known: Names) -> None:
    finding = await media_names(known, NOBODY_6, HOST)
    assert (finding.status, faults(finding)) == (Status.WARN, {NAME: ("dns.ipv6-dead", [NOBODY_6])})


async def test_ipv6_that_a_link_names_is_told_dead_beside_ipv4_that_works(known: Names) -> None:
    """A stand-in that looked its own name up has a link for each address."""
    finding = await media_names(known, NOBODY_6, HOST, link=NOBODY_6)
    assert faults(finding) == {NAME: ("dns.ipv6-dead", [NOBODY_6])}


async def test_ipv6_is_not_told_dead_where_ipv4_is(known: Names) -> None:
    """Neither answers: whatever that is, it is no matter of IPv6."""
    finding = await media_names(known, NOBODY_6, NOBODY, link=NOBODY)
    assert "dns.ipv6-dead" not in {what for what, _ in faults(finding).values()}


NAT = ((HOST, "10.0.1.20"),)


@pytest.mark.parametrize(
    ("what", "trouble", "nat"),
    [("dns.stale-record", "silent", ()), (None, "refused", ()), ("dns.stale-record", "refused", NAT)],
)
async def test_a_second_address_is_dead_where_it_is_silent_and_unserved_where_it_refuses_and_may_be_a_node(
    what: str | None, trouble: str, nat: tuple[tuple[str, str], ...], known: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers(address: str) -> Tried:
        return Tried(None) if address == HOST else Tried(False, trouble)

    monkeypatch.setattr(address_try, "by_echo", lambda _hosts, **_options: answers)
    finding = await media_names(known, HOST, NOBODY, nat=nat)
    assert faults(finding) == ({NAME: (what, [NOBODY])} if what else {})


async def test_a_name_of_another_media_host_is_not_wrong(known: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has given its link."""
    monkeypatch.setattr(resolver, "has_route", lambda _address: True)
    finding = await media_names(known, "192.0.2.99", link=PUBLIC, media_names=(NAME, "rtc2.example.com"))
    assert NAME not in faults(finding)


async def test_without_a_stand_in_the_site_file_says_where_the_name_should_lead(known: Names) -> None:
    known[NAME] = [PUBLIC]

    async def found(*nat: tuple[str, str], **of_site: Any) -> dict[str, tuple[str, list[str]]]:
        return faults(await names.media_names_probe(context(vantage=Role.CLIENT, nat=nat, **of_site)))

    elsewhere = ("192.0.2.77", "10.0.1.20")
    assert await found(elsewhere) == {NAME: ("dns.wrong-answer", [PUBLIC])}
    assert await found((PUBLIC, "10.0.1.20")) == await found() == {}
    known[NAME] = ["169.254.9.9"]  # a range of private addresses that no machine here has one of
    assert await found((PUBLIC, "169.254.9.9")) == {NAME: ("dns.private-answer", ["169.254.9.9"])}
    known[NAME] = [PUBLIC]
    known["other.example.com"] = [PUBLIC]
    assert await found(elsewhere, media_names=(NAME, "other.example.com")) == {}, "it may be the other's"


async def test_an_address_without_a_route_says_nothing(known: Names) -> None:
    finding = await media_names(known, HOST, "fe80::1")
    assert (finding.status, faults(finding)) == (Status.PASS, {})


@pytest.mark.parametrize(("by_file", "lines"), [(True, f"{NOBODY} {NAME}\n"), (False, "")])
async def test_what_the_hosts_file_says_is_told(by_file: bool, lines: str, known: Names, files: Path) -> None:
    (files / "hosts").write_text(lines)
    known[NAME] = [NOBODY]
    finding = await names.media_names_probe(context())
    (row,) = finding.evidence["names"]
    assert row["hosts_file"] == ([NOBODY] if by_file else [])


async def test_every_address_of_a_stun_or_turn_server_is_asked(known: Names) -> None:
    async with StunServer([HOST]) as server:
        known[TURN] = [NOBODY, HOST]
        uri = ServerUri(scheme="turn", host=TURN, port=server.port)
        finding = await names.media_names_probe(context(media_names=(), turn=(uri,)))
    assert (finding.status, faults(finding)) == (Status.WARN, {TURN: ("dns.stale-record", [NOBODY])})


async def test_a_private_address_of_a_turn_server_is_not_for_another_network(
    known: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_address: str) -> Tried:
        return Tried(False, "silent")

    monkeypatch.setattr(address_try, "by_binding", lambda _uri: silent)
    monkeypatch.setattr(resolver, "has_route", lambda _address: True)
    known[TURN] = ["10.0.1.30"]
    uri = ServerUri(scheme="turn", host=TURN, port=3478)

    async def found(*local: str) -> dict[str, tuple[str, list[str]]]:
        monkeypatch.setattr(names, "local_addresses", lambda: list(local))
        return faults(await names.media_names_probe(context(media_names=(), turn=(uri,))))

    assert await found("192.0.2.9") == {TURN: ("dns.private-answer", ["10.0.1.30"])}
    assert await found("10.0.7.7") == {}, "it may be for here, and its own checks say that it is silent"


# the site, and rtcd


async def tcp(known: Names, check: str, *addresses: str, settings: Mapping[str, Setting] | None = None) -> Finding:
    """One of the two whose addresses take TCP connections, on 127.0.0.1 alone."""
    known[NAME] = addresses
    async with tcp_listener() as port:
        url = f"http://{NAME}:{port}"
        site = context(media_names=(), mattermost_url=url, rtcd_url=url, vantage=Role.MATTERMOST,
                       settings=dict(settings or {}))  # fmt: skip
        return await (names.site_probe(site) if check == "site" else names.rtcd_probe(site))


async def test_the_sites_addresses_take_connections(known: Names) -> None:
    assert (await tcp(known, "site", HOST)).status is Status.PASS
    finding = await tcp(known, "site", HOST, NOBODY_6)
    assert (finding.status, faults(finding)) == (Status.WARN, {NAME: ("dns.ipv6-dead", [NOBODY_6])})


async def test_an_rtcd_that_refuses_is_there(known: Names) -> None:
    """Its service is down, which is no fault of its name."""
    finding = await tcp(known, "rtcd", HOST, NOBODY)
    assert (finding.status, faults(finding)) == (Status.PASS, {})


async def test_ipv6_alone_is_no_address_to_the_plugin(known: Names) -> None:
    finding = await tcp(known, "rtcd", NOBODY_6)
    assert (finding.status, faults(finding)) == (Status.FAIL, {NAME: ("dns.nxdomain", [])})


# which names are whose


@pytest.mark.parametrize(
    ("vantage", "mode", "wanted"),
    [
        (Role.CLIENT, None, {NAME: ["media"], STUN: ["stun"], TURN: ["turn"]}),
        (Role.MEDIA, None, {"override.example.com": ["override"], STUN: ["stun"], TURN: ["turn"]}),
        (Role.MATTERMOST, Mode.INTEGRATED, {"override.example.com": ["override"], STUN: ["stun"], TURN: ["turn"]}),
        (Role.MATTERMOST, Mode.RTCD, {}),
    ],
)
def test_a_name_is_judged_where_it_is_used(vantage: Role, mode: Mode | None, wanted: dict[str, list[str]]) -> None:
    site = Site(
        vantage=vantage, mode=mode, media_names=(NAME,), host_override="override.example.com",
        stun=(ServerUri(scheme="stun", host=STUN, port=3478),), turn=(ServerUri(scheme="turn", host=TURN, port=3478),),
    )  # fmt: skip
    assert names.media_names(site) == wanted


def test_addresses_need_no_dns() -> None:
    uri = ServerUri(scheme="turn", host="192.0.2.3", port=3478)
    site = Site(turn=(uri,), mattermost_url="https://192.0.2.1", rtcd_url="http://[2001:db8::1]:8045", paired=True)
    said = {spec.id: spec.nothing_to_do(site) for spec in names.CHECKS}
    assert all("address" in why for why in said.values()), said


async def test_without_files_and_names_nobody_is_asked(known: Names) -> None:
    known[NAME] = [PUBLIC]
    finding = await names.media_names_probe(context())
    assert finding.evidence["names"][0]["resolvers"] == []
