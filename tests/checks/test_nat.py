"""nat.* against real stand-ins, STUN servers and middleboxes on 127.0.0.1; what is announced is made up, what is
reached is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec
import pytest

from calls_doctor.model.check import CheckResult, Evidence, Finding, Status
from calls_doctor.model.facts import Announced, Facts, StunSeen
from calls_doctor.model.flow import Address, Role
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Site
from calls_doctor.net import mapping
from calls_doctor.net.paired import PairedHost
from calls_doctor.spec import Context
from calls_doctor.standin.stun_server import StunServer
from checks import nat
from checks import stun as stun_checks
from tests.servers.media_host import box_before, context, media_host, paired, result
from tests.servers.middlebox import HOST, Middlebox, Tcp, drop
from tests.servers.two_addresses import two_addresses

Ports = Callable[[], int]
PUBLIC, PRIVATE = "203.0.113.20", "10.0.0.2"


@pytest.fixture
def quick(short_silence: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - a fixture asks so
    """A tenth of every silence."""
    monkeypatch.setattr(mapping, "SCHEDULE_S", tuple(at / 10 for at in mapping.SCHEDULE_S))
    monkeypatch.setattr(mapping, "DECIDED_S", mapping.DECIDED_S / 10)


def told(*announced: tuple[str, str, int], public: Sequence[str] = (), local: Sequence[str] = ()) -> Facts:
    """What a stand-in says; `announced` are (kind, address, port)."""
    return Facts(
        local_addresses=list(local),
        public_addresses=list(public),
        media_port=8443,
        announced=[
            Announced(kind=kind, protocol=protocol, address=address, port=port)
            for kind, address, port in announced
            for protocol in ("udp", "tcp")
        ],
        needs_stun=True,
        stun=[],
        control_port=0,
    )


def given(
    host: PairedHost | None,
    facts: Facts | None,
    *,
    users: str = "public",
    vantage: Role = Role.CLIENT,
    turn: bool = False,
    results: dict[str, CheckResult] | None = None,
) -> Context:
    site = Site(
        phase=Phase.PRE, media=(MediaAddress(host=HOST),), users=users, vantage=vantage, paired=True,
        turn=(ServerUri(scheme="turn", host=HOST, port=1),) if turn else (),
    )  # fmt: skip
    return context(host, facts=facts, site=site, results=results)


def seen_as(address: str, **more: object) -> dict[str, CheckResult]:
    """The echo, by which the far end sees this caller."""
    evidence: Evidence = {"mapped": [address, 50000], **more}
    return {
        "port.rtc-udp-echo": result("port.rtc-udp-echo", Finding(status=Status.PASS, summary="", evidence=evidence))
    }


# nat.type


async def type_of(*servers: Address, vantage: Role = Role.CLIENT) -> Finding:
    """The check behind the one that it needs, as the runner makes them."""
    uris = tuple(ServerUri(scheme="stun", host=host, port=port) for host, port in servers)
    site = Site(phase=Phase.PRE, stun=uris, vantage=vantage)
    reach = result("stun.reach", await stun_checks.reach_probe(context(None, site=site)))
    return await nat.type_probe(context(None, site=site, results={"stun.reach": reach}))


@pytest.mark.parametrize("vantage", [Role.CLIENT, Role.MEDIA])
async def test_without_a_nat_that_is_known(vantage: Role) -> None:
    async with StunServer([HOST]) as one, StunServer([HOST]) as other:
        finding = await type_of((HOST, one.port), (HOST, other.port), vantage=vantage)
    evidence = finding.evidence
    assert (finding.status, evidence["mapping"], evidence["port_preserved"]) == (Status.PASS, "none", True)
    assert [row["server"] for row in evidence["mapped"]] == [f"{HOST}:{one.port}", f"{HOST}:{other.port}"]
    assert (evidence["filtering"], evidence["filtering_tests"]) == ("unknown", [])
    assert evidence["filtering_unknown"] == "no STUN server has another address"


@pytest.mark.usefixtures("quick")
async def test_one_mapping_for_all_is_known(free_port: Ports) -> None:
    """Both addresses of the server see the caller by a port that is not its own."""
    async with two_addresses(free_port) as server:
        server.seen_as = ("203.0.113.1", 4000)
        finding = await type_of(server.server)
    evidence = finding.evidence
    assert (finding.status, evidence["mapping"]) == (Status.PASS, "endpoint-independent")
    assert evidence["port_preserved"] is False


async def test_ipv6_is_compared_with_ipv6() -> None:
    async with StunServer([HOST, "::1"]) as one, StunServer(["::1"]) as other:
        finding = await type_of((HOST, one.port), ("::1", one.port))
        assert finding.status is Status.UNKNOWN, "of each family one alone answered"
        finding = await type_of((HOST, one.port), ("::1", one.port), ("::1", other.port))
    assert (finding.status, finding.evidence["mapping"]) == (Status.PASS, "none")


@pytest.mark.parametrize(("vantage", "status"), [
    (Role.CLIENT, Status.PASS), (Role.OFFLOADER, Status.PASS), (Role.MEDIA, Status.WARN),
    (Role.MATTERMOST, Status.WARN),
])  # fmt: skip
async def test_a_symmetric_nat_matters_before_servers_only(vantage: Role, status: Status) -> None:
    """The box sends on from a socket of its own: to the server behind it this caller has another port."""
    async with StunServer([HOST]) as one, Middlebox((HOST, one.port), tcp=Tcp.CLOSED) as box:
        finding = await type_of((HOST, one.port), (HOST, box.port), vantage=vantage)
    assert (finding.status, finding.evidence["mapping"]) == (status, "address-dependent")
    assert "symmetric" in finding.summary


@pytest.mark.usefixtures("quick")
async def test_one_server_alone_does_not_tell() -> None:
    async with StunServer([HOST]) as one:
        finding = await type_of((HOST, one.port), (HOST, 1))
    assert finding.status is Status.UNKNOWN and finding.summary.startswith("1 STUN servers answered")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("lost", "filtering"), [
    (set(), "endpoint-independent"), ({6}, "address-dependent"), ({2, 6}, "address-and-port-dependent"),
])  # fmt: skip
async def test_what_is_let_in_unasked_is_known(lost: set[int], filtering: str, free_port: Ports) -> None:
    async with two_addresses(free_port) as server:
        server.answer_from = lambda asked, change: None if change in lost else server.changed(asked, change)
        finding = await type_of(server.server)
    assert (finding.status, finding.evidence["filtering"]) == (Status.PASS, filtering)
    assert finding.summary.endswith(f", {filtering} filtering") and "filtering_unknown" not in finding.evidence
    outcomes = {row["change"]: row["outcome"] for row in finding.evidence["filtering_tests"]}
    assert outcomes == {
        name: "filtered" if bits in lost else "arrived" for name, bits in (("address_and_port", 6), ("port", 2))
    }
    last = max(number for number, (_, change) in enumerate(server.asked) if change)
    assert all(at == server.server for at, _ in server.asked[: last + 1]), "the others are asked after the tests alone"


@pytest.mark.usefixtures("quick")
async def test_a_server_that_refuses_says_nothing_of_filters(free_port: Ports) -> None:
    async with two_addresses(free_port, lambda asked, change: 420 if change else asked) as server:
        finding = await type_of(server.server)
    assert (finding.status, finding.evidence["filtering"]) == (Status.PASS, "unknown")
    assert "refuses" in finding.evidence["filtering_unknown"] and "filtering" not in finding.summary


@pytest.mark.usefixtures("quick")
async def test_a_server_with_one_address_tells_of_ports_alone(free_port: Ports) -> None:
    async with two_addresses(free_port, hosts=(HOST, HOST)) as server:
        evidence = (await type_of(server.server)).evidence
        assert evidence["filtering"] == "unknown" and "one address" in evidence["filtering_unknown"]
        server.answer_from = lambda asked, change: None if change else asked
        evidence = (await type_of(server.server)).evidence
    assert evidence["filtering"] == "address-and-port-dependent"


def test_the_other_address_is_named_among_what_is_sent_to() -> None:
    spec = next(one for one in nat.CHECKS if one.id == "nat.type")
    site = Site(stun=(ServerUri(scheme="stun", host="192.0.2.1", port=3478),))
    assert spec.targets(site) == ["stun:192.0.2.1:3478", "the other address that one of them names"]


async def test_an_address_that_was_asked_before_is_no_test_of_filters(free_port: Ports) -> None:
    async with two_addresses(free_port) as server:
        finding = await type_of(server.server, server.other)
        assert {change for _, change in server.asked} == {0}
    assert (finding.status, finding.evidence["filtering_tests"]) == (Status.PASS, [])
    assert "asked before" in finding.evidence["filtering_unknown"]


# nat.advertised-class


@pytest.mark.parametrize(
    ("announced", "caller", "users", "status"),
    [
        ((("override", PUBLIC, 8443),), "198.51.100.1", "public", Status.PASS),
        ((("mapped", PUBLIC, 8443), ("host", PRIVATE, 8443)), "198.51.100.1", "public", Status.PASS),
        ((("host", PRIVATE, 8443),), "198.51.100.1", "public", Status.FAIL),
        ((("host", PRIVATE, 8443),), "198.51.100.1", "hybrid", Status.FAIL),
        ((("host", PRIVATE, 8443),), "198.51.100.1", "private", Status.PASS),
        ((("host", PRIVATE, 8443),), "10.0.0.77", "public", Status.PASS),
        ((("host", "100.64.0.1", 8443),), "198.51.100.1", "public", Status.FAIL),
        ((), "10.0.0.77", "private", Status.FAIL),
    ],
)  # fmt: skip
async def test_what_is_announced_reaches_as_far_as_the_caller_is(
    announced: tuple[tuple[str, str, int], ...], caller: str, users: str, status: Status
) -> None:
    finding = await nat.advertised_class_probe(given(None, told(*announced), users=users, results=seen_as(caller)))
    assert finding.status is status
    assert len(finding.evidence["candidates"]) == 2 * len(announced)
    assert all(address in finding.summary for _, address, _ in announced)


async def test_a_caller_is_public_where_stun_says_so_too() -> None:
    evidence: Evidence = {"addresses": ["198.51.100.1"]}
    results = {"stun.public-ip": result("stun.public-ip", Finding(status=Status.PASS, summary="", evidence=evidence))}
    finding = await nat.advertised_class_probe(given(None, told(("host", PRIVATE, 1)), results=results))
    assert (finding.status, finding.evidence["caller_is_public"]) == (Status.FAIL, True)


@pytest.mark.parametrize("probe", [nat.advertised_class_probe, nat.advertised_reachable_probe, nat.hairpin_probe])
async def test_without_the_stand_ins_word_nothing_is_known(probe: object) -> None:
    assert callable(probe)
    finding: Finding = await probe(given(None, None))
    assert finding.status is Status.UNKNOWN


async def test_it_is_said_where_a_name_gave_what_is_announced() -> None:
    facts = msgspec.structs.replace(told(), override_name="calls.example.com")
    assert (await nat.advertised_class_probe(given(None, facts))).evidence["override_name"] == "calls.example.com"


# nat.advertised-reachable


@pytest.mark.usefixtures("quick")
async def test_an_announced_port_that_leads_there_passes_though_another_does_not() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=Tcp.CLOSED) as box:
        assert stand_in.ready is not None
        port = stand_in.ready.media_port
        facts = told(("override", HOST, box.port), ("host", HOST, port))
        finding = await nat.advertised_reachable_probe(given(paired(stand_in.ready), facts))
    assert finding.status is Status.PASS and f"{HOST}:{port} (host) is reached" == finding.summary
    assert [row["returned"] for row in finding.evidence["candidates"]] == [0, 3]


@pytest.mark.usefixtures("quick")
async def test_an_announced_port_that_leads_nowhere_fails() -> None:
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=Tcp.CLOSED) as box:
        facts = told(("override", HOST, box.port))
        finding = await nat.advertised_reachable_probe(given(paired(stand_in.ready), facts))
    assert finding.status is Status.FAIL and f"{HOST}:{box.port}" in finding.summary


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("by", ["link", "site", "mapped"])
async def test_a_known_port_that_leads_there_though_it_is_not_announced_is_told(by: str) -> None:
    """The link's own, the site's override, or what a STUN server sees: no other is tried."""
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=Tcp.CLOSED) as box:
        assert stand_in.ready is not None
        port = stand_in.ready.media_port
        facts, host = told(("override", HOST, box.port)), paired(stand_in.ready)
        if by == "mapped":
            facts = msgspec.structs.replace(facts, stun=[StunSeen(uri="stun:a", mapped=(HOST, port))])
        asked = given(host if by == "link" else host.at(HOST, box.port), facts)
        if by == "site":
            asked = replace(asked, site=msgspec.structs.replace(asked.site, host_port_override=port))
        finding = await nat.advertised_reachable_probe(asked)
    assert finding.status is Status.FAIL and finding.summary.endswith(f"; it answers at {HOST}:{port}")
    rows = [(row["kind"], row["port"], row["returned"]) for row in finding.evidence["elsewhere"]]
    assert rows == [(by, port, 3)] and finding.evidence["media_port"] == 8443


async def test_what_the_echo_has_shown_is_not_asked_again() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        facts = told(("host", HOST, stand_in.ready.media_port))
        results = seen_as("198.51.100.1", sent=24, returned=24)
        finding = await nat.advertised_reachable_probe(given(paired(stand_in.ready), facts, results=results))
        assert stand_in.books().sessions == []
    assert finding.status is Status.PASS
    assert finding.evidence["candidates"][0]["answered_by"] == "port.rtc-udp-echo"


@pytest.mark.parametrize("results", [{}, seen_as("198.51.100.1")], ids=["it did not run", "it was skipped"])
async def test_where_the_echo_has_shown_nothing_it_is_asked(results: dict[str, CheckResult]) -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        facts = told(("host", HOST, stand_in.ready.media_port))
        finding = await nat.advertised_reachable_probe(given(paired(stand_in.ready), facts, results=results))
    assert finding.status is Status.PASS and finding.evidence["candidates"][0]["returned"] == 3


async def test_nothing_announced_is_nothing_reached() -> None:
    async with media_host() as stand_in:
        finding = await nat.advertised_reachable_probe(given(paired(stand_in.ready), told()))
    assert finding.status is Status.FAIL and "is reached from here: nothing;" in finding.summary


# nat.hairpin


class Moved(PairedHost):
    """A stand-in that has addresses which this machine has not: each leads to a port on 127.0.0.1."""

    ways: dict[str, PairedHost]

    def at(self, address: str, port: int) -> PairedHost:  # noqa: ARG002 - the port is part of the way
        return self.ways[address]


async def hairpin(
    public_works: bool,
    *,
    private_works: bool = True,
    tcp: Tcp = Tcp.CLOSED,
    vantage: Role = Role.CLIENT,
    users: str = "public",
    turn: bool = False,
    turn_port: int = 0,
) -> Finding:
    async with media_host() as stand_in, box_before(stand_in, drop(), tcp=tcp) as box:
        ready = stand_in.ready
        assert ready is not None
        works, silent = paired(ready), paired(ready, box.port)
        host = Moved(ready.pairing, MediaAddress(host=HOST))
        host.ways = {PUBLIC: works if public_works else silent, PRIVATE: works if private_works else silent}
        facts = msgspec.structs.replace(told(public=[PUBLIC], local=[PRIVATE, HOST]), turn_port=turn_port)
        return await nat.hairpin_probe(given(host, facts, vantage=vantage, users=users, turn=turn))


@pytest.mark.usefixtures("quick")
async def test_a_public_address_that_works_from_inside_passes() -> None:
    finding = await hairpin(public_works=True)
    assert (finding.status, finding.evidence["inside"], finding.evidence["direct"]) == (Status.PASS, True, [PRIVATE])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("vantage", "users", "turn", "status"), [
    (Role.CLIENT, "public", False, Status.FAIL), (Role.MEDIA, "public", False, Status.WARN),
    (Role.MEDIA, "hybrid", False, Status.FAIL), (Role.MATTERMOST, "public", True, Status.FAIL),
], ids=["a caller inside", "no caller inside", "callers on both sides", "TURN inside"])  # fmt: skip
async def test_one_that_does_not_matters_where_somebody_inside_needs_it(
    vantage: Role, users: str, turn: bool, status: Status
) -> None:
    finding = await hairpin(public_works=False, vantage=vantage, users=users, turn=turn)
    assert finding.status is status
    assert finding.summary == f"the public address does not work from inside: {PUBLIC} (UDP and TCP)"


@pytest.mark.usefixtures("quick")
async def test_a_stand_in_that_serves_turn_is_turn_inside() -> None:
    assert (await hairpin(public_works=False, vantage=Role.MEDIA, turn_port=3478)).status is Status.FAIL


@pytest.mark.usefixtures("quick")
async def test_udp_alone_is_named() -> None:
    finding = await hairpin(public_works=False, tcp=Tcp.PASS)
    assert finding.status is Status.FAIL and finding.summary.endswith(f"{PUBLIC} (UDP)")


@pytest.mark.usefixtures("quick")
async def test_what_the_private_address_does_not_carry_either_is_no_matter_of_reflection() -> None:
    finding = await hairpin(public_works=False, private_works=False, tcp=Tcp.PASS)
    assert (finding.status, finding.evidence["counting"]) == (Status.PASS, ["tcp"])


@pytest.mark.usefixtures("quick")
async def test_a_port_that_nobody_wants_is_not_tried_and_misses_nothing() -> None:
    async with media_host() as stand_in:
        ready = stand_in.ready
        assert ready is not None
        udp_only = PairedHost(ready.pairing, MediaAddress(host=HOST, udp_port=ready.media_port, tcp_port=0))
        host = Moved(ready.pairing, MediaAddress(host=HOST))
        host.ways = {PUBLIC: udp_only, PRIVATE: udp_only}
        finding = await nat.hairpin_probe(given(host, told(public=[PUBLIC], local=[PRIVATE])))
    assert finding.status is Status.PASS
    assert finding.evidence["rows"] == [{"address": PUBLIC, "udp": 3, "tcp": None}]


@pytest.mark.usefixtures("quick")
async def test_a_caller_outside_has_nothing_to_find() -> None:
    finding = await hairpin(public_works=True, private_works=False)
    assert (finding.status, finding.evidence["inside"]) == (Status.SKIP, False)


async def test_a_media_host_without_a_public_address_has_none_to_reflect() -> None:
    async with media_host() as stand_in:
        facts = told(local=[HOST])
        finding = await nat.hairpin_probe(given(paired(stand_in.ready), facts, vantage=Role.MEDIA))
    assert finding.status is Status.SKIP and "no public address" in finding.summary
