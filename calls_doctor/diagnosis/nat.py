"""Causes of address translation: at the servers' firewall, and before the media host. Pure."""

from __future__ import annotations

from collections.abc import Callable

from calls_doctor.diagnosis import mattermost
from calls_doctor.diagnosis.advertise import settings_of
from calls_doctor.diagnosis.callers import HAIRPIN, blamed_somewhere, is_inside, outside, works_outside
from calls_doctor.diagnosis.cause import Cause, Evidence, Outcome, Prediction, bad_rows, outcome_of, outcomes
from calls_doctor.diagnosis.media_evidence import (
    ADVERTISED,
    TCP_CALL,
    THROUGH_RELAY,
    UDP_CALLS,
    announced_in_vain,
    answers,
    failing_inside,
    other_port,
)
from calls_doctor.diagnosis.place import flow_of, host_and_port, on_the_path, vantages_of
from calls_doctor.diagnosis.turn_signs import LISTENERS, answers_outside
from calls_doctor.model.check import ECHOES, TCP_ECHO, UDP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy
from calls_doctor.modes import MEDIA_PORT

TYPE, IDLE = "nat.type", "nat.idle"
REFRESHED_S = 6.0
"""Within which ICE refreshes a flow (contract section 6)."""


def hairpin_missing(evidence: Evidence) -> Prediction | None:
    """From inside the public address is silent, the private one is not; from outside the public one works."""
    tried = any(evidence.at(check, one) for one in outside(evidence) for check in ECHOES)
    inside = {r.vantage for r in evidence.results if is_inside(evidence, r.vantage)}
    turn, site = _turn_inside(evidence, inside), _site_inside(evidence, inside)
    others = bool(turn or site)
    shown = [r for r in evidence.of(HAIRPIN, Status.FAIL) if _works_outside(evidence, r) or others or not tried]
    if not shown:
        return None
    echoes = [r for r in evidence.bad_at(inside, UDP_ECHO, TCP_ECHO) if not r.evidence.get("returned")]
    later = evidence.bad_at({r.vantage for r in echoes}, *UDP_CALLS, TCP_CALL, ADVERTISED)
    later += _handed_in_vain(evidence, inside, shown)
    later += site
    later += [r for r in evidence.bad(*THROUGH_RELAY) if turn and not r.evidence.get("arrived")]
    row = shown[0].evidence["rows"][0]
    return Prediction(
        explains=outcomes([*shown, *echoes, *later]) | turn,
        flow=flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT),
        summary=f"{row['address']} works from outside and not from inside the servers' network"
        if any(_works_outside(evidence, r) for r in shown)
        else f"{row['address']} is not reached from inside the servers' network, nor what else callers outside do reach"
        if tried
        else f"{row['address']} does not work from inside the servers' network, the private address does",
        subject=row["address"],
        confidence=Confidence.CERTAIN if tried else Confidence.LIKELY,
        party=None if tried else Party.UNDECIDED,
    )


def _works_outside(evidence: Evidence, result: CheckResult) -> bool:
    """Some of what fails here works for a caller outside."""
    return any(works_outside(evidence, answers(evidence, check)) for check in failing_inside(result))


def _handed_in_vain(evidence: Evidence, inside: set[str], shown: list[CheckResult]) -> list[CheckResult]:
    """Callers inside who reach the media host by its private address, and nothing of what they are handed: all that is
    public of it are addresses that are not reflected."""
    silent = {row["address"] for r in shown for row in r.evidence["rows"] if not row["udp"]}

    def by_reflection_alone(result: CheckResult) -> bool:
        public = {row["address"] for row in result.evidence["candidates"] if not row["private"]}
        return bool(public) and public <= silent

    return [r for r in evidence.bad_at(inside, ADVERTISED) if by_reflection_alone(r)]


def _turn_inside(evidence: Evidence, inside: set[str]) -> frozenset[Outcome]:
    """A TURN server that callers outside reach and the servers do not stands behind the same firewall."""
    outcomes_of_rows = {
        outcome_of(r, row): str(row.get("uri", "")) for r in evidence.bad_at(inside, *LISTENERS) for row in bad_rows(r)
    }
    return frozenset(one for one, uri in outcomes_of_rows.items() if answers_outside(evidence, uri))


def _site_inside(evidence: Evidence, inside: set[str]) -> list[CheckResult]:
    """A site that callers outside reach and those inside do not stands behind the same firewall."""
    reached = works_outside(evidence, lambda vantage: mattermost.works(evidence, vantage))
    return mattermost.kept_from(evidence, inside) if reached else []


def port_not_preserved(evidence: Evidence) -> Prediction | None:
    """Callers are handed the media host's address with a port that a NAT made up for one destination."""

    def at_another_port(result: CheckResult) -> bool:
        echo = evidence.at(UDP_ECHO, result.vantage)
        here = host_and_port(echo.target) if echo else ("", None)
        public = [row for row in result.evidence["candidates"] if not row["private"]]
        moved = all(row["address"] == here[0] and row["port"] != here[1] for row in public)
        return bool(public) and moved and other_port(result) is None

    shown = [r for r in announced_in_vain(evidence) if at_another_port(r)]
    if not shown:
        return None
    echo = evidence.at(UDP_ECHO, shown[0].vantage)
    row = next(row for row in shown[0].evidence["candidates"] if not row["private"])
    servers = {r.vantage for r in evidence.bad(TYPE) if is_inside(evidence, r.vantage)}
    return Prediction(
        explains=outcomes([*shown, *evidence.bad_at(servers, TYPE)]),
        flow=flow_of(evidence, echo or shown[0], Role.MEDIA, "udp", MEDIA_PORT),
        summary=f"callers are handed port {row['port']} of {row['address']}, which leads nowhere",
        subject=f"{row['address']}:{row['port']}",
        party=settings_of(evidence),
    )


def binding_short(evidence: Evidence) -> Prediction | None:
    """A silent flow is forgotten before ICE refreshes it: at a caller's own NAT, or before the media host where no
    caller outside is remembered for longer."""
    shown = evidence.of(IDLE, Status.FAIL)
    if not shown:
        return None
    callers = [r for r in shown if not is_inside(evidence, r.vantage)]
    # What lies between two networks of the servers' side is neither a caller's NAT nor what the others come through.
    place = blamed_somewhere(evidence, callers, _remembers(evidence)) if callers else on_the_path(evidence)
    first = next(iter(callers), shown[0])
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, first, Role.MEDIA, "udp", MEDIA_PORT, Lost.REPLY),
        summary=first.summary,
        subject=first.target,
        party=place.party,
        confidence=place.confidence,
    )


def _remembers(evidence: Evidence) -> Callable[[str], bool]:
    """Whether a vantage's flows are remembered for longer than what forgets the others' can be taken for: a timeout
    about as long as the threshold is found on either side of it."""
    well = vantages_of(r for r in evidence.of(IDLE) if (r.evidence.get("remembered_s") or 0.0) > REFRESHED_S)
    return lambda vantage: vantage in well


CAUSES = (
    Cause(
        id="nat.hairpin-missing",
        party=Party.SERVER_NETWORK,
        impact=Impact.SOME_CALLERS,
        meaning="The public address of the media host works outside and not inside the servers' network.",
        predicts=hairpin_missing,
        remedy=Remedy(
            summary="Reflect the public address for those inside, or give them the private one by name",
            steps=[
                "At the firewall, reflect (hairpin NAT) UDP and TCP 8443, and TURN, for the servers' network",
                "Or split DNS: inside, the name of the media host gives its private address; announce the name's "
                "address to each side",
                "A TURN server in the same network must reach the media host by the address that callers are handed",
            ],
            firewall_rows=["FW-11", "FW-12", "FW-13"],
            guide_steps=["2A.2.3", "1.6.1", "1.6.3"],
        ),
        deciding_test="On a machine in a network outside: `calls-doctor check --peer LINK`; where it passes there, the "
        "firewall does not reflect",
    ),
    Cause(
        id="nat.port-not-preserved",
        party=Party.RTCD_SETTINGS,
        impact=Impact.NO_CALLS,
        meaning="A NAT before the media host gives its port another number, and callers are handed that one.",
        predicts=port_not_preserved,
        remedy=Remedy(
            summary="Forward the media port as it is, and announce it as it is",
            steps=[
                "At the firewall before the media host, forward UDP and TCP 8443 as they are (static, 1:1)",
                "Set the ICE host override to the public address (and the port override where the public port differs)",
            ],
            firewall_rows=["FW-11", "FW-12", "FW-13"],
            guide_steps=["2A.2.3"],
        ),
    ),
    Cause(
        id="nat.binding-short",
        party=Party.SERVER_NETWORK,
        impact=Impact.DEGRADED,
        meaning="A NAT or firewall forgets a silent UDP flow before ICE refreshes it: who is muted is cut off.",
        predicts=binding_short,
        remedy=Remedy(
            summary="Let UDP flows to and from the media port live for 2 minutes without traffic (RFC 4787 REQ-5)",
            steps=[
                "Find the NAT or firewall that keeps the flow; the setting is its UDP session timeout, which "
                "may be set for UDP 8443 alone",
                "On the NAT or firewall, where it runs Linux (OpenWrt, VyOS): `sysctl -w "
                "net.netfilter.nf_conntrack_udp_timeout=120 net.netfilter.nf_conntrack_udp_timeout_stream=180`; "
                "`nft list ruleset` shows whether a policy of its own (ct timeout) stands over that",
                "pfSense, OPNsense: Firewall Optimization Options: conservative; MikroTik: /ip firewall connection "
                "tracking set udp-timeout=2m udp-stream-timeout=3m",
                "FortiGate: config system global, set udp-idle-timer 180; Cisco ASA: timeout udp 0:02:00; Palo Alto: "
                "set deviceconfig setting session timeout-udp 120; Check Point: UDP virtual session timeout",
                "A load balancer or a cloud's NAT gateway before the media host has an idle timeout of its own",
            ],
        ),
        deciding_test="On a machine in another network, a phone's hotspot say: `calls-doctor check --peer LINK "
        "--thorough`: where a silent flow is remembered there, it is this caller's own NAT or firewall; where it is "
        "not, the servers'",
    ),
)
