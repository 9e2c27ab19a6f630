"""env.* of the machine's own settings: kernel limits, its own firewall, the proxy that Mattermost was told of.
Information, unless a fault that callers see comes from it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import Role, Transport
from calls_doctor.model.site import Phase, Site
from calls_doctor.modes import API_PORT, MEDIA_PORT, STUN_PORT, WITHOUT_RTCD
from calls_doctor.net import kernel_limits, local_firewall, processes
from calls_doctor.net.sockets import PortOwner, local_addresses, port_owner
from calls_doctor.spec import NETWORK_PHASES, CheckSpec, Context
from calls_doctor.wire import proxy_rules
from calls_doctor.wire.ruleset import SHUT, Packet, Ruling, Verdict, ruling

BUFFER_WANTED_BYTES = 16 * 1024 * 1024
"""What rtcd asks for, each way (rtcd-setup, "tuning")."""
BUFFER_LEAST_BYTES = 212992
"""Linux's own default: who has less has lowered it."""
SOCKETS_PER_CPU = 100
"""rtcd's udp_sockets_count by default: so many for each processor, on each address."""
FILES_BESIDE = 1024
"""What else a service opens."""
SERVICE = "mattermost"
WILDCARD = "0.0.0.0"


async def limits_probe(context: Context) -> Finding:
    """UDP buffers as a socket is granted them, what the media sockets have dropped, and the limit on open files of
    whoever holds the media port."""
    return await asyncio.to_thread(_limits, context.site)


def _limits(site: Site) -> Finding:
    port = next((media.udp_port for media in site.media), MEDIA_PORT)
    owner = port_owner(Transport.UDP, WILDCARD, port)
    evidence: Evidence = {
        "receive_buffer_max_bytes": kernel_limits.receive_buffer_max_bytes(BUFFER_WANTED_BYTES),
        "send_buffer_max_bytes": kernel_limits.send_buffer_max_bytes(BUFFER_WANTED_BYTES),
        "buffer_wanted_bytes": BUFFER_WANTED_BYTES,
        "media_port": port,
        "media_socket_drops": kernel_limits.socket_drops(port),
        "receive_buffer_errors": kernel_limits.receive_buffer_errors(),
        "ephemeral_ports": kernel_limits.ephemeral_ports(),
        **_open_files(site, owner),
    }
    said = [*_buffers(evidence), *_files(evidence)]
    serious = evidence["media_socket_drops"] or _least(evidence) < BUFFER_LEAST_BYTES or evidence["open_files_short"]
    return Finding(status=Status.WARN if serious else Status.PASS, summary="; ".join(said), evidence=evidence)


def _open_files(site: Site, owner: PortOwner | None) -> Evidence:
    """Of rtcd or the plugin where it runs and may be looked at. Before that, what a service that is started here could
    have (the hard limit) is information: its unit sets its own."""
    service = owner.pid if owner and site.phase is Phase.POST else None
    found = kernel_limits.open_files(service)
    limit = found[0 if service else 1] if found else None
    cpus = os.cpu_count() or 1
    addresses = sum(":" not in address for address in local_addresses())
    wanted = SOCKETS_PER_CPU * cpus * addresses + FILES_BESIDE
    return {
        "open_files_limit": limit, "open_files_wanted": wanted, "open_files_of": str(owner) if service else "",
        "open_files_short": bool(service and limit is not None and limit < wanted),
        "cpus": cpus, "addresses": addresses,
    }  # fmt: skip


def _least(evidence: Evidence) -> int:
    return int(min(evidence["receive_buffer_max_bytes"], evidence["send_buffer_max_bytes"]))


def _buffers(evidence: Evidence) -> list[str]:
    least = _least(evidence)
    said = [f"UDP buffers up to {_kib(least)}"]
    if least < BUFFER_WANTED_BYTES:
        said[0] += f", where rtcd asks for {_kib(BUFFER_WANTED_BYTES)} (net.core.rmem_max, net.core.wmem_max)"
    if drops := evidence["media_socket_drops"]:
        said.append(f"the sockets on {evidence['media_port']} have dropped {drops} datagrams for want of a buffer")
    return said


def _kib(size_bytes: int) -> str:
    return f"{size_bytes // 1024} KiB"


def _files(evidence: Evidence) -> list[str]:
    limit, whose = evidence["open_files_limit"], evidence["open_files_of"]
    if limit is None:
        return []
    count = "any number of" if limit == kernel_limits.UNLIMITED else str(limit)
    who = whose or "a service that this shell starts"
    return [f"{who} may open {count} files and sockets, {evidence['open_files_wanted']} are wanted here"]


async def firewall_probe(context: Context) -> Finding:
    """What the rules of this machine do with a caller's first packet to each port that it serves, and with the answer.
    That decides nothing: what callers find does."""
    firewall = await local_firewall.read()
    if isinstance(firewall, local_firewall.Unread):
        return Finding(status=Status.SKIP, summary=f"this machine's own firewall is not known: {firewall.why}")
    rows = []
    for transport, port in _served_here(context.site):
        found, answer = (ruling(firewall.rules_for(Packet(transport, port, way))) for way in (False, True))
        row = {"protocol": transport, "port": port, "verdict": str(found.verdict), "rule": found.rule}
        row["answer"] = {"verdict": str(answer.verdict), "rule": answer.rule}
        rows.append((row, found, answer))
    evidence: Evidence = {
        "backend": firewall.backend, "managers": firewall.managers, "ports": [row for row, *_ in rows],
    }  # fmt: skip
    shut = [row for row, *rulings in rows if any(found.verdict in SHUT for found in rulings)]
    said = [f"{row['port']}/{row['protocol']} {row['verdict']}{_by(found)}" for row, found, _ in rows]
    said += [
        f"answers from {row['port']}/{row['protocol']} {answer.verdict}{_by(answer)}"
        for row, _, answer in rows
        if answer.verdict in SHUT
    ]
    keeper = f" ({', '.join(firewall.managers)})" if firewall.managers else ""
    summary = f"this machine's own rules{keeper}: {'; '.join(said)}"
    return Finding(status=Status.WARN if shut else Status.PASS, summary=summary, evidence=evidence)


def _by(found: Ruling) -> str:
    """The rule, where somebody may want to find it."""
    if found.verdict is Verdict.DEPENDS:
        return f" on {found.rule}"
    return f" by {found.rule}" if found.verdict in SHUT else ""


def _served_here(site: Site) -> list[tuple[str, int]]:
    """What callers, and Mattermost nodes, must reach on this machine."""
    if site.vantage is Role.TURN:
        return [("udp", STUN_PORT), ("tcp", STUN_PORT)]
    if site.vantage is Role.MATTERMOST and site.mode not in WITHOUT_RTCD:
        return []
    udp, tcp = next(((one.udp_port, one.tcp_port) for one in site.media), (MEDIA_PORT, MEDIA_PORT))
    ports = [("udp", udp), *([("tcp", tcp)] if tcp else [])]
    return ports if site.mode in WITHOUT_RTCD else [*ports, ("tcp", API_PORT)]


def _serves_nothing(site: Site) -> str:
    return "" if _served_here(site) else f"the {site.vantage} machine serves none of these ports"


async def proxy_probe(context: Context) -> Finding:
    """The proxy that Mattermost takes for rtcd's URL, by the environment of its process. Where that may not be read,
    this shell's own is told, and judges nothing."""
    return await asyncio.to_thread(_proxy, context.site.rtcd_url)


def _proxy(url: str) -> Finding:
    pids = processes.named(SERVICE)
    told = {pid: processes.environment_of(pid, proxy_rules.VARIABLES) for pid in pids}
    pid, service = next(((pid, found) for pid, found in told.items() if found is not None), (None, None))
    environment: Mapping[str, str] = os.environ if service is None else service
    choice = proxy_rules.choice(url, environment)
    whose = f"Mattermost (pid {pid})" if service is not None else "this shell"
    evidence: Evidence = {
        "of": whose, "variables": [name for name in proxy_rules.VARIABLES if environment.get(name)],
        "variable": choice.variable, "proxy": choice.proxy, "exempt_by": choice.exempt_by,
    }  # fmt: skip
    unread = "" if service is not None else _unread(pids)
    if choice.is_caught and service is not None:
        summary = (
            f"{choice.variable} of {whose} sends requests to rtcd to a proxy, and NO_PROXY does not spare its host"
        )
        return Finding(status=Status.FAIL, summary=summary, target=url, evidence=evidence)
    if choice.is_caught:
        summary = f"{choice.variable} of this shell names a proxy for it, which the doctor does not take; {unread}"
    elif choice.variable:
        summary = f"{choice.variable} of {whose} names a proxy, and {choice.exempt_by} spares it"
    else:
        summary = f"no proxy is named by {whose}"
    summary += f"; {unread}" if unread and not choice.is_caught else ""
    return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)


def _unread(pids: list[int]) -> str:
    """Why Mattermost's own environment is not known."""
    if not pids:
        return f"no process named {SERVICE} runs here, whose environment would count"
    return "Mattermost's own environment cannot be read: that takes root, or its user"


def _no_media_here(site: Site) -> str:
    elsewhere = site.vantage is Role.MATTERMOST and site.mode not in WITHOUT_RTCD
    return "media does not end on this Mattermost node" if elsewhere else ""


def _no_rtcd(site: Site) -> str:
    if site.mode in WITHOUT_RTCD:
        return f"mode {site.mode} has no rtcd"
    return "" if site.rtcd_url else "no rtcd API was named: give it with --rtcd-url"


CHECKS = (
    CheckSpec(
        id="env.limits",
        title="The kernel's limits leave room for calls",
        probe=limits_probe,
        needs=("env.platform",),
        vantages=frozenset({Role.MEDIA, Role.MATTERMOST}),
        phases=NETWORK_PHASES,
        nothing_to_do=_no_media_here,
        fails_when="The media sockets have dropped datagrams for want of a buffer, UDP buffers are smaller than Linux "
        "gives by itself, or rtcd may open fewer sockets than it wants. Buffers below the 16 MiB that rtcd asks for "
        "are told, and are no fault by themselves.",
    ),
    CheckSpec(
        id="env.hostfw",
        title="This machine's own firewall lets callers in",
        probe=firewall_probe,
        needs=("env.platform",),
        vantages=frozenset({Role.MEDIA, Role.MATTERMOST, Role.TURN}),
        phases=NETWORK_PHASES,
        nothing_to_do=_serves_nothing,
        fails_when="A rule of nftables or iptables on this machine, whoever keeps it (ufw, firewalld, Docker), drops "
        "or rejects a caller's first packet to a port that must be open, or the answer to it. Where a rule asks for a "
        "source or a rate, it is only said that it depends; reading rules takes root.",
    ),
    CheckSpec(
        id="env.proxy-vars",
        title="No proxy stands between Mattermost and rtcd's API",
        probe=proxy_probe,
        vantages=frozenset({Role.MATTERMOST}),
        phases=NETWORK_PHASES,
        nothing_to_do=_no_rtcd,
        fails_when="HTTP_PROXY or HTTPS_PROXY, as the Mattermost process was started with it, catches rtcd's URL, and "
        "NO_PROXY does not spare its host: the plugin's WebSocket goes to that proxy.",
    ),
)
