"""The table of checks and what causes say of it hang together: every name that one uses, another declares."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from calls_doctor import diagnosis
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.guide import STEP_BY_NUMBER
from calls_doctor.model import check
from calls_doctor.model.check import ECHOES
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Site
from calls_doctor.spec import CheckSpec
from checks import CHECKS

ROOT = Path(diagnosis.__file__).parents[2]
BY_ID = {spec.id: spec for spec in CHECKS}
BUILT = {
    "env.platform", "env.port-free", "port.rtc-udp-echo", "port.rtc-tcp-echo", "port.api-tcp", "stun.reach",
    "stun.public-ip", "turn.challenge", "turn.allocate", "turn.permission", "turn.relay-range", "media.self",
    "media.call-udp", "media.call-tcp", "media.call-relay", "quality.path", "nat.type", "nat.advertised-class",
    "nat.advertised-reachable", "nat.hairpin", "env.control", "client.udp-egress", "port.api-exposure",
    "port.turn-listener", "tls.site", "tls.turn", "signal.websocket", "clocks.skew", "turn.expiry", "turn.necessity",
    "nat.idle", "quality.bandwidth", "turn.relay-ports", "quality.relay-mtu",
    "media.multi-instance", "media.video",
}  # fmt: skip
CONTRACT_CAUSES = """
media.udp-blocked-inbound media.udp-blocked-return media.udp-rejected media.udp-rate-limited
media.reply-address-changed media.tcp-blocked media.tcp-rejected media.tcp-stalled media.blocked media.not-running
media.port-taken media.port-rewritten media.node-unreachable media.dtls-blocked client.udp-blocked client.only-443
client.port-blocked advertise.private-address advertise.wrong-address advertise.nothing nat.hairpin-missing
nat.binding-short nat.port-not-preserved api.blocked api.refused api.no-answer api.wrong-service api.bad-gateway
api.websocket-blocked api.unauthorized api.too-old api.exposed mattermost.unreachable mattermost.websocket-blocked
mattermost.plugin-inactive mattermost.unauthorized stun.blocked-server stun.blocked-client stun.wrong-answer
turn.not-running turn.udp-blocked turn.tcp-blocked turn.blocked turn.tls-invalid turn.credentials-expired
turn.secret-mismatch turn.unauthenticated turn.quota turn.relay-blocked turn.peer-denied turn.relay-address-private
dns.nxdomain dns.servfail dns.timeout dns.slow dns.private-answer dns.wrong-answer dns.stale-record dns.ipv6-dead
tls.invalid tls.expired clock.skewed path.mtu-blackhole path.loss path.jitter path.latency path.reordering
path.bandwidth host.buffers-small host.fd-limit host.proxy-environment kubernetes.no-exposure
kubernetes.values-ignored kubernetes.shared-override kubernetes.api-exposed
"""
"""The causes that the contract names (section 6); an id is never renamed or reused."""
OURS_TOO = {
    "turn.wrong-service": "something answers there and is no TURN server: the contract has it for the API only",
    "turn.not-allocating": "an allocation refused for a reason that no other cause stands for, or never answered",
    "client.proxied": "a proxy that opens every connection makes each TCP success worth nothing, and is nobody's block",
    "host.firewall": "what this very machine forbids is neither the caller's network's nor the servers' to mend",
    "host.no-sockets": "a machine that gives no socket: nothing else can be tested, and that must have a cause",
}
WITHOUT_CAUSE = {
    "port.rtc-tcp-live": "what has the port instead has answered for itself; whether calls suffer, calls tell",
    "signal.teardown": "calls went well, and rtcd alone keeps who left: nothing in a network or a setting does that",
}
"""Checks whose failure says itself all that there is to say."""


def test_the_ids_that_others_are_judged_by_are_spelled_out_once() -> None:
    sources = [path for part in ("calls_doctor", "checks", "reports") for path in (ROOT / part).rglob("*.py")]
    spelled = [
        (path.relative_to(ROOT).as_posix(), node.value)
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in ECHOES
    ]
    assert sorted(spelled) == [("calls_doctor/model/check.py", one) for one in sorted(ECHOES)]


def test_ids_are_unique_and_are_those_of_the_catalogue() -> None:
    assert len(BY_ID) == len(CHECKS)
    assert set(BY_ID) >= BUILT


@pytest.mark.parametrize("spec", CHECKS, ids=lambda spec: spec.id)
def test_a_check_declares_all_that_its_readers_need(spec: CheckSpec) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z0-9-]+", spec.id)
    assert spec.title[0].isupper() or spec.title.startswith("rtcd")
    assert not spec.title.endswith(".")
    assert spec.fails_when.endswith(".")
    assert spec.vantages
    assert spec.phases
    assert spec.timeout_s > 0


@pytest.mark.parametrize("spec", CHECKS, ids=lambda spec: spec.id)
def test_needs_exist_and_stand_before_what_needs_them(spec: CheckSpec) -> None:
    place = {one.id: n for n, one in enumerate(CHECKS)}
    for other in spec.needs:
        assert place[other] < place[spec.id]


def test_no_check_waits_for_itself() -> None:
    order = TopologicalSorter({spec.id: (*spec.needs, *spec.uses) for spec in CHECKS})
    assert set(order.static_order()) == set(BY_ID), "it raises CycleError where there is a circle"


@pytest.mark.parametrize("spec", CHECKS, ids=lambda spec: spec.id)
def test_guide_steps_exist_and_are_none_that_only_a_person_can_do(spec: CheckSpec) -> None:
    assert [step for step in spec.guide_steps if step not in STEP_BY_NUMBER or STEP_BY_NUMBER[step].manual] == []


@pytest.mark.parametrize("spec", CHECKS, ids=lambda spec: spec.id)
def test_a_check_that_goes_somewhere_says_where_and_how_many_packets_at_most(spec: CheckSpec) -> None:
    uri = ServerUri(scheme="turns", host="192.0.2.1", port=5349, transport="tls")
    site = Site(
        phase=Phase.SELF_TEST, media=(MediaAddress(host="192.0.2.1"),), rtcd_url="http://rtcd.example.com:8045",
        stun=(uri,), turn=(uri,), paired=True, media_names=("rtc.example.com",),
        mattermost_url="https://chat.example.com",
    )  # fmt: skip
    assert spec.nothing_to_do(site) == ""
    local = {
        "env.platform",
        "env.port-free",
        "env.limits",
        "env.hostfw",
        "env.proxy-vars",
        "stun.public-ip",
        "nat.advertised-class",
        "client.udp-egress",
        "turn.expiry",
        "turn.necessity",
        "config.versions",
        "quality.relay-mtu",
        "signal.teardown",
    }
    assert bool(spec.packets_max) is (spec.id not in local)
    assert spec.id in local or spec.targets(site)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_a_cause_is_the_contracts_or_has_its_reason_here(cause: object) -> None:
    identity = getattr(cause, "id", "")
    assert (identity in CONTRACT_CAUSES.split()) is not (identity in OURS_TOO)


def read_by_causes() -> set[str]:
    """Every id in the sources of the causes that looks like a check's; a cause's own id is none."""
    sources = Path(diagnosis.__file__).parent.glob("*.py")
    nodes = [node for source in sources for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    texts |= {getattr(check, name) for name in ("UDP_ECHO", "TCP_ECHO", "API") if name in names}
    categories = {spec.category for spec in CHECKS}
    ids = {text for text in texts if re.fullmatch(r"[a-z]+\.[a-z0-9-]+", text) and text.split(".")[0] in categories}
    return ids - set(CONTRACT_CAUSES.split()) - set(OURS_TOO)


def test_causes_read_checks_that_exist() -> None:
    assert read_by_causes() - set(BY_ID) == set()
    assert set(BY_ID) - read_by_causes() == set(WITHOUT_CAUSE), "a check whose failure no cause reads"
