"""Causes on the machine the doctor runs on. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis.callers import HAIRPIN
from calls_doctor.diagnosis.cause import BAD, Cause, Evidence, Prediction, Row, outcome_of, outcomes
from calls_doctor.diagnosis.media_evidence import ADVERTISED, UDP_CALLS, is_lossy, is_shut, trouble
from calls_doctor.diagnosis.place import flow_of, own_machine, role_of, vantages_of
from calls_doctor.model.check import TCP_ECHO, CheckResult, Status
from calls_doctor.model.flow import Lost, Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy
from calls_doctor.modes import API_PORT, MEDIA_PORT

FORBIDDEN = "forbidden"
LIMITS, PROXY = "env.limits", "env.proxy-vars"
QUALITY = "quality.path"
NO_DESCRIPTOR = ("EMFILE", "ENFILE")
"""What the system says where no file or socket may be opened any more: by this process, or by all."""
OWNERS = {
    Role.MATTERMOST: Party.MATTERMOST_HOST,
    Role.MEDIA: Party.MEDIA_HOST,
    Role.TURN: Party.TURN_HOST,
    Role.OFFLOADER: Party.OFFLOADER_HOST,
}
"""Whose a machine is to mend; a caller's is the caller's."""
FAR_ENDS = {"stun": Role.STUN, "turn": Role.TURN}
"""Whom checks of a category ask; the others ask the media host."""


def no_sockets(evidence: Evidence) -> Prediction | None:
    """The machine gives this program no socket."""
    shown = evidence.of("env.platform", Status.FAIL)
    if not shown:
        return None
    flow = flow_of(evidence, shown[0], Role.MEDIA, "udp", MEDIA_PORT)
    return Prediction(explains=outcomes(shown), flow=flow, summary=shown[0].summary)


def firewall(evidence: Evidence) -> Prediction | None:
    """The system call that sends was refused (EPERM), or this machine sent itself an ICMP error."""
    bad = [r for r in evidence.results if r.status in BAD]
    shown = [r for r in bad if trouble(r) == FORBIDDEN]
    rows = [(r, row) for r in bad for row in r.evidence.get("servers", ()) if row.get("trouble") == FORBIDDEN]
    if not shown and not rows:
        return None
    first, said = (shown[0], shown[0].evidence) if shown else rows[0]
    return Prediction(
        explains=outcomes([*shown, *_unsaid(evidence, shown)]) | {outcome_of(r, row) for r, row in rows},
        flow=flow_of(evidence, first, FAR_ENDS.get(first.category, Role.MEDIA), "udp", MEDIA_PORT, Lost.REQUEST),
        summary=str(_words(said) or first.summary),
        subject=first.target,
        party=_owner(evidence, first),
    )


def _words(said: Row) -> str:
    """The system's own, in a result's evidence or a row of it."""
    return str(said.get("trouble_detail") or said.get("detail") or "")


def _owner(evidence: Evidence, result: CheckResult) -> Party | None:
    """Whose the machine is on which it was made; None: a caller's."""
    own = own_machine(evidence)
    return own.party if own else OWNERS.get(role_of(evidence, result.vantage))


def _unsaid(evidence: Evidence, shown: list[CheckResult]) -> list[CheckResult]:
    """What fails where the media port may not be asked. A rule that drops a SYN tells nobody, so silence over TCP from
    the same machine is the same rule's as far as anybody knows."""
    where = vantages_of(shown)
    calls = evidence.bad_at(where, *UDP_CALLS, ADVERTISED, HAIRPIN)
    return [*calls, *(r for r in evidence.bad_at(where, TCP_ECHO) if is_shut(r, ("silent",)))]


def fd_limit(evidence: Evidence) -> Prediction | None:
    """The system gave no socket for want of a descriptor: nothing left this machine that anybody could have lost."""
    bad = [r for r in evidence.results if r.status in BAD]
    shown = [r for r in bad if _no_descriptor(r.evidence)]
    rows = [(r, row) for r in bad for row in r.evidence.get("servers", ()) if _no_descriptor(row)]
    if not shown and not rows:
        return None
    first, said = (shown[0], shown[0].evidence) if shown else rows[0]
    return Prediction(
        explains=outcomes(shown) | {outcome_of(r, row) for r, row in rows},
        flow=flow_of(evidence, first, FAR_ENDS.get(first.category, Role.MEDIA), "udp", MEDIA_PORT, Lost.REQUEST),
        summary=_words(said),
        subject=first.target,
        party=_owner(evidence, first),
    )


def _no_descriptor(said: Row) -> bool:
    return said.get("trouble") == "not-sent" and any(word in _words(said) for word in NO_DESCRIPTOR)


def buffers_small(evidence: Evidence) -> Prediction | None:
    """The media host's socket has dropped as many datagrams as callers miss on the way to it. Small buffers alone are
    no fault: most hosts have the system's own."""
    full = [r for r in evidence.bad(LIMITS) if r.evidence.get("media_socket_drops")]
    drops = max((int(r.evidence["media_socket_drops"]) for r in full), default=0)
    lossy = [r for r in evidence.bad(QUALITY, *UDP_CALLS) if 0 < _lost_there(r) <= drops]
    measured = [r for r in lossy if r.id == QUALITY]
    calls = [r for r in lossy if r.id != QUALITY and is_lossy(r)]
    rows = [(r, row) for r in measured for row in r.evidence["faults"] if _is_loss_there(row)]
    if not rows and not calls:
        return None
    first = rows[0][0] if rows else calls[0]
    return Prediction(
        explains=outcomes([*full, *calls]) | {outcome_of(r, row) for r, row in rows},
        flow=flow_of(evidence, first, Role.MEDIA, "udp", MEDIA_PORT, Lost.REQUEST),
        summary=f"the media host's own socket dropped {drops} datagrams for want of a buffer: {first.summary}",
        subject=full[0].vantage,
        confidence=Confidence.LIKELY,
    )


def _lost_there(result: CheckResult) -> int:
    """Of a call's media on its way to the media host, as both ends' books tell; 0 where they do not."""
    way = result.evidence.get("to_far") or {}
    return int(way.get("sent") or 0) - int(way["received"]) if way.get("received") is not None else 0


def _is_loss_there(row: Row) -> bool:
    return bool(row["what"] == "loss" and row["direction"] == "to_far")


def proxy_environment(evidence: Evidence) -> Prediction | None:
    """What Mattermost was started with sends its requests to rtcd to a proxy."""
    shown = evidence.bad(PROXY)
    if not shown:
        return None
    return Prediction(
        explains=outcomes(shown),
        flow=flow_of(evidence, shown[0], Role.MEDIA, "tcp", API_PORT),
        summary=shown[0].summary,
        subject=str(shown[0].evidence["variable"]),
        confidence=Confidence.LIKELY,
    )


CAUSES = (
    Cause(
        id="host.buffers-small",
        party=Party.MEDIA_HOST,
        impact=Impact.DEGRADED,
        meaning="The media host's UDP buffers are too small: the kernel drops what has arrived.",
        predicts=buffers_small,
        remedy=Remedy(
            summary="Raise the kernel's limits for UDP buffers, and restart Calls",
            steps=[
                "On the media host: `grep -i :20FB /proc/net/udp`, twice during a call: the last column counts what "
                "the "
                "sockets on 8443 have dropped",
                "On the media host: `sysctl -w net.core.rmem_max=16777216 net.core.wmem_max=16777216`, and the same in "
                "/etc/sysctl.d, so that it lasts",
                "On the media host: `systemctl restart rtcd` (or Mattermost, where the plugin serves media), which "
                "asks for "
                "its buffers at its start; it ends every call",
                "Where it goes on, the host is too slow for its calls: look at its processors during one",
            ],
            guide_steps=["2A.3.2", "2B.5.2"],
        ),
    ),
    Cause(
        id="host.fd-limit",
        party=Party.CALLER_MACHINE,
        impact=Impact.NO_CALLS,
        meaning="A program may not open as many files and sockets as it needs.",
        predicts=fd_limit,
        remedy=Remedy(
            summary="Raise the limit on open files",
            steps=[
                "On that machine: `ulimit -n 65536` in the shell that starts the doctor, or close what holds so many",
                "On the media host: `systemctl edit rtcd` with [Service] and LimitNOFILE=65536: rtcd opens 100 sockets "
                "for "
                "each processor and address, or as many as rtc.udp_sockets_count says",
            ],
            guide_steps=["1.6.1", "1.6.3"],
        ),
    ),
    Cause(
        id="host.proxy-environment",
        party=Party.MATTERMOST_HOST,
        impact=Impact.NO_CALLS,
        meaning="A proxy that Mattermost's environment names catches its requests to rtcd's API.",
        predicts=proxy_environment,
        remedy=Remedy(
            summary="Put rtcd's host into NO_PROXY of the Mattermost service",
            steps=[
                "On the Mattermost node: `curl --proxytunnel --proxy http://PROXY http://RTCD:8045/version` shows "
                "whether "
                "the proxy lets it through at all",
                "On the Mattermost node: `systemctl edit mattermost` with [Service] and Environment=NO_PROXY=RTCD "
                "(rtcd's "
                "name as its URL has it: a network spares addresses only), beside what stands there",
                "On the Mattermost node: `systemctl restart mattermost`, since it reads its environment at its start",
            ],
            firewall_rows=["FW-20", "FW-21"],
            guide_steps=["2B.2.1", "2B.3.4"],
        ),
    ),
    Cause(
        id="host.no-sockets",
        party=Party.CALLER_MACHINE,
        impact=Impact.NO_CALLS,
        meaning="This machine's policy forbids the doctor to open sockets.",
        predicts=no_sockets,
        remedy=Remedy(
            summary="Run the doctor where it may open sockets",
            steps=[
                "Look for a sandbox, a seccomp profile or a container without a network",
                "On this machine: `calls-doctor check --only env.platform` says whether it may now",
            ],
            guide_steps=["1.6.1", "1.6.3"],
        ),
    ),
    Cause(
        id="host.firewall",
        party=Party.CALLER_MACHINE,
        impact=Impact.SOME_CALLERS,
        meaning="The firewall of the machine itself drops or rejects what leaves it for Calls.",
        predicts=firewall,
        remedy=Remedy(
            summary="Let this machine send to the media port",
            steps=[
                "On this machine: `nft list ruleset` (or `iptables-save`): which rule drops or rejects what goes out?",
                "On this machine: where no rule does, look for an endpoint protection, and whether `dmesg` says that "
                "nf_conntrack's table is full",
            ],
            firewall_rows=["FW-15"],
            guide_steps=["1.6.1", "1.6.3"],
        ),
    ),
)
