"""Flows are told in the words of a firewall team, from targets as checks write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.diagnosis.cause import Evidence
from calls_doctor.diagnosis.place import at_the_far_end, flow_of, host_and_port, on_the_path
from calls_doctor.model.check import Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Confidence, Vantage
from calls_doctor.model.site import Phase, ServerUri
from tests.diagnosis import findings as f


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("203.0.113.20:8443/udp", "203.0.113.20", 8443),
        ("[2001:db8::1]:8443/tcp", "2001:db8::1", 8443),
        ("[fe80::1%eth0]:8443/udp", "fe80::1%eth0", 8443),
        ("rtcd.example.com:8443/udp, [2001:db8::1]:8443/udp", "rtcd.example.com", 8443),
        ("turn:turn.example.com:3478?transport=udp", "turn.example.com", 3478),
        ("turns:[2001:db8::3]:5349?transport=tcp", "2001:db8::3", 5349),
        ("stun:192.0.2.3:3478", "192.0.2.3", 3478),
        ("http://127.0.0.1:8045", "127.0.0.1", 8045),
        ("http://rtcd.internal:8045/version", "rtcd.internal", 8045),
        ("https://rtcd.example.com", "rtcd.example.com", None),
        ("localhost:8443/udp", "localhost", 8443),
        ("", "", None),
        ("two words", "", None),
    ],
)
def test_host_and_port_of_a_target(target: str, host: str, port: int | None) -> None:
    assert host_and_port(target) == (host, port)


@given(
    scheme=st.sampled_from(["stun", "stuns", "turn", "turns"]),
    host=st.one_of(
        st.ip_addresses().map(str), st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z]{2,8}){0,3}", fullmatch=True)
    ),
    port=st.integers(1, 65535),
    transport=st.sampled_from(["udp", "tcp", "tls"]),
)
def test_every_server_uri_gives_its_own_host_and_port(scheme: str, host: str, port: int, transport: str) -> None:
    uri = ServerUri(scheme=scheme, host=host, port=port, transport=transport)
    assert host_and_port(str(uri)) == (host, port)


@given(st.text(max_size=60))
def test_no_text_makes_it_fail(target: str) -> None:
    host, port = host_and_port(target)
    assert host or port is None


def test_a_flow_goes_from_the_vantages_role_whatever_its_label() -> None:
    result = f.result("port.rtc-udp-echo", Status.FAIL, f.UDP, at="Berlin office")
    vantage = Vantage(id="Berlin office", label="Berlin office", role="media", started="2026-01-01T00:00:00Z")
    evidence = Evidence(Phase.PRE, [result], {vantage.id: vantage})
    flow = flow_of(evidence, result, Role.MEDIA, "udp", 1, Lost.REQUEST)
    assert (flow.from_.role, flow.to.role, flow.to.address, flow.port) == ("media", "media", f.MEDIA_HOST, 8443)
    unknown = flow_of(Evidence(Phase.PRE, [result]), result, Role.MEDIA, "udp", 1)
    assert unknown.from_.role is Role.CLIENT


def test_a_target_without_a_port_has_the_default() -> None:
    result = f.result("port.api-tcp", Status.FAIL, "https://rtcd.example.com")
    assert flow_of(f.evidence([result]), result, Role.MEDIA, "tcp", 8045).port == 8045


@pytest.mark.parametrize("phase", [Phase.PRE, Phase.POST, Phase.UNDETERMINED])
def test_one_vantage_alone_cannot_tell_whose_firewall_it_is(phase: Phase) -> None:
    path, far = on_the_path(Evidence(phase, [])), at_the_far_end(Evidence(phase, []))
    assert (path.party, path.confidence) == (Party.UNDECIDED, Confidence.LIKELY)
    assert (far.party, far.confidence) == (None, Confidence.CERTAIN)


def test_in_the_self_test_nobody_else_can_be_to_blame() -> None:
    evidence = Evidence(Phase.SELF_TEST, [])
    assert on_the_path(evidence) == at_the_far_end(evidence)
    assert on_the_path(evidence).party is Party.CALLER_MACHINE
