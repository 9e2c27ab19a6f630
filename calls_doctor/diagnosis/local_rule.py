"""A rule of the far end's own firewall that shuts the flow of a cause: no other cause, but where to look, and whose it
is. Pure."""

from __future__ import annotations

from msgspec import structs

from calls_doctor.diagnosis.cause import Evidence, Row
from calls_doctor.diagnosis.host import OWNERS
from calls_doctor.diagnosis.place import host_and_port, role_of
from calls_doctor.model.check import TCP_ECHO, UDP_ECHO, CheckResult
from calls_doctor.model.flow import Flow, Lost, Party, Role
from calls_doctor.model.report import Confidence, Diagnosis

HOST_FIREWALL = "env.hostfw"
SHUT = {"dropped": "drops", "rejected": "rejects"}
TOOLS = {"nft": "nft -a list ruleset", "iptables": "iptables-save"}
HOSTS = {Role.MEDIA: (Role.MEDIA, Role.MATTERMOST), Role.TURN: (Role.TURN,)}
"""The vantages on which a flow's far end may be looked at: the plugin serves media on Mattermost's own machine."""


def with_local_rule(one: Diagnosis, evidence: Evidence) -> Diagnosis:
    """The same; where nothing of the flow was ever answered, and the far end's own rules shut its port, the rule is the
    first step. Where they shut all that the cause stands for, it is that machine's to mend, whoever else failed."""
    if _answered(one, evidence):
        return one
    for result in evidence.bad(HOST_FIREWALL):
        rule = _rule_for(one.flow, result)
        if rule and role_of(evidence, result.vantage) in HOSTS.get(one.flow.to.role, ()):
            tool, where = TOOLS[result.evidence["backend"]], f"the {one.flow.to.role} host ({result.vantage})"
            step = f"On {where}: `{tool}` shows the rule of its own that {rule}"
            remedy = structs.replace(one.remedy, steps=[step, *one.remedy.steps])
            told = structs.replace(one, because=sorted({*one.because, HOST_FIREWALL}), remedy=remedy)
            return _at_its_host(told, OWNERS[role_of(evidence, result.vantage)], result)
    return one


def _at_its_host(one: Diagnosis, owner: Party, result: CheckResult) -> Diagnosis:
    """A rule that shuts a port to everybody leaves nothing open of whose it is."""
    ways = {"udp": UDP_ECHO, "tcp": TCP_ECHO}
    shut = {row["protocol"] for row in result.evidence["ports"] if _shutting(one.flow, row)}
    stands_for = {way for way, echo in ways.items() if echo in one.because} | {one.flow.protocol}
    if one.party not in (Party.UNDECIDED, Party.SERVER_NETWORK) or not stands_for <= shut:
        return one
    return structs.replace(one, party=owner, confidence=Confidence.CERTAIN)


def _answered(one: Diagnosis, evidence: Evidence) -> bool:
    """Somebody had an answer from that port, or of what the cause explains."""
    echoes = evidence.of(UDP_ECHO if one.flow.protocol == "udp" else TCP_ECHO)
    same = [r for r in echoes if host_and_port(r.target)[1] == one.flow.port]
    return any(r.evidence.get("returned") for r in (*same, *(r for r in evidence.results if r.id in one.because)))


def _rule_for(flow: Flow, result: CheckResult) -> str:
    """What the rule does, and which it is; "" where none shuts this flow."""
    rows = (row for row in result.evidence["ports"] if (row["protocol"], row["port"]) == (flow.protocol, flow.port))
    return next((shutting for row in rows if (shutting := _shutting(flow, row))), "")


def _shutting(flow: Flow, row: Row) -> str:
    """The same of one port, for the way on which the flow is lost."""
    port, answer = f"{row['protocol'].upper()} {row['port']}", row.get("answer", {})
    if flow.lost in (Lost.REQUEST, Lost.BOTH) and row["verdict"] in SHUT:
        return f"{SHUT[row['verdict']]} {port}: {row['rule']}"
    if flow.lost in (Lost.REPLY, Lost.BOTH) and answer.get("verdict") in SHUT:
        return f"{SHUT[answer['verdict']]} what is answered from {port}: {answer['rule']}"
    return ""
