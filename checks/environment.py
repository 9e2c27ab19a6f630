"""env.*: can the doctor probe from this machine at all, and are the ports of Calls free on it?"""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import socket
from typing import Any  # evidence is JSON

from calls_doctor.errors import FarEndError
from calls_doctor.model.check import Finding, Status
from calls_doctor.model.flow import Role, Transport, address_class
from calls_doctor.model.site import Phase, Site
from calls_doctor.modes import API_PORT, MEDIA_PORT, STUN_PORT, WITHOUT_RTCD
from calls_doctor.net.sockets import PortOwner, can_bind, local_addresses, port_owner
from calls_doctor.spec import CheckSpec, Context


async def platform_probe(_context: Context) -> Finding:
    """A UDP socket on loopback, and what the machine says of itself."""
    evidence: dict[str, Any] = {
        "system": platform.system(),
        "release": platform.release(),
        "python": platform.python_version(),
        "uid": os.getuid() if hasattr(os, "getuid") else None,
        "root": hasattr(os, "geteuid") and os.geteuid() == 0,
        "address_classes": sorted({address_class(address) for address in local_addresses()}),
        "icmp_detail": hasattr(socket, "IP_RECVERR") or platform.system() == "Linux",
    }
    trouble = {
        transport: error
        for transport in (Transport.UDP, Transport.TCP)
        if (error := can_bind(transport, "127.0.0.1", 0)) is not None
    }
    if trouble:
        evidence["errors"] = {str(transport): os.strerror(error.errno or 0) for transport, error in trouble.items()}
        named = " and ".join(transport.upper() for transport in trouble)
        return Finding(
            status=Status.FAIL, summary=f"this machine gives the doctor no {named} socket", evidence=evidence
        )
    where = f"{evidence['system']} {evidence['release']}, Python {evidence['python']}"
    return Finding(status=Status.PASS, summary=where, evidence=evidence)


ADDRESSES_MAX = 8
WILDCARD = "0.0.0.0"


async def port_free_probe(context: Context) -> Finding:
    """Binds each port of Calls for a moment on the wildcard address, plainly (never SO_REUSEPORT), and closes it."""
    site = context.site
    ports = _ports_here(site)
    taken: list[dict[str, Any]] = []
    refused: list[str] = []
    for transport, port, use in ports:
        error = can_bind(transport, WILDCARD, port)
        if error is not None and error.errno == errno.EADDRINUSE:
            taken.append(_taken(transport, port, use, port_owner(transport, WILDCARD, port)))
        elif error is not None:
            refused.append(f"{port}/{transport}: {os.strerror(error.errno or 0)}")
    evidence: dict[str, Any] = {"ports": [f"{port}/{transport}" for transport, port, _ in ports]}
    evidence |= {"taken": taken, "refused": refused}
    if refused and not taken:
        summary = f"the system refuses to bind {', '.join(refused)}"
        return Finding(status=Status.UNKNOWN, summary=summary, evidence=evidence)
    numbers = ", ".join(dict.fromkeys(str(port) for _, port, _ in ports))
    if not taken:
        return Finding(status=Status.PASS, summary=f"{numbers}: free here", evidence=evidence)
    named = ", ".join(f"{row['port']}/{row['transport']} by {row['owner']}" for row in taken)
    if await _is_the_stand_in(context):
        evidence["stand_in"] = True
        return Finding(status=Status.PASS, summary=f"held by the stand-in that runs here: {named}", evidence=evidence)
    # Only where Calls is about to be installed is a taken port in anyone's way.
    in_the_way = site.phase is Phase.PRE
    return Finding(status=Status.FAIL if in_the_way else Status.WARN, summary=f"taken here: {named}", evidence=evidence)


async def _is_the_stand_in(context: Context) -> bool:
    """True where the stand-in that we are paired with listens on this very machine: then it has the ports it needs.

    Where it could not be asked by the address of its link, it is tried at this machine's own.
    """
    here, paired, facts = set(local_addresses()), context.paired, await context.told()
    if facts is not None or paired is None:
        return facts is not None and bool(here & set(facts.local_addresses))
    own = [address for address in sorted(here) if not address_class(address).is_loopback][:ADDRESSES_MAX]
    try:
        echoes = [paired.at(address, paired.udp_port).echo_once(Transport.UDP) for address in own]
        return any(outcome.returned for outcome in await asyncio.gather(*echoes))
    except FarEndError:  # it has no room, and is there
        return True


def _ports_here(site: Site) -> list[tuple[Transport, int, str]]:
    """The ports that this machine will serve, by its role and the mode, and what for."""
    udp, tcp = _media_port(site, "media.udp_port"), _media_port(site, "media.tcp_port")
    media = [(Transport.UDP, udp, "media"), *([(Transport.TCP, tcp, "media over TCP")] if tcp else [])]
    api = [(Transport.TCP, API_PORT, "rtcd's API")]
    turn = [(Transport.UDP, STUN_PORT, "STUN and TURN"), (Transport.TCP, STUN_PORT, "TURN over TCP")]
    if site.phase is Phase.SELF_TEST:
        return [*media, *api, *turn]
    if site.vantage in (Role.MEDIA, Role.MATTERMOST) and site.mode in WITHOUT_RTCD:
        return media
    return {Role.MEDIA: [*media, *api], Role.TURN: turn}.get(site.vantage, [])


def _media_port(site: Site, name: str) -> int:
    """As the site file has it: a link's port may be another, before a NAT."""
    told = site.settings.get(name)
    return told.value if told is not None and isinstance(told.value, int) else MEDIA_PORT


def _no_server_here(site: Site) -> str:
    return "" if _ports_here(site) else f"the {site.vantage} machine serves none of these ports"


def _taken(transport: Transport, port: int, use: str, owner: PortOwner | None) -> dict[str, Any]:
    return {
        "transport": str(transport),
        "port": port,
        "use": use,
        "owner": str(owner) if owner else "an unknown program",
        "uid": owner.uid if owner else None,
        "pid": owner.pid if owner else None,
        "command": owner.command if owner else None,
    }


CHECKS = (
    CheckSpec(
        id="env.platform",
        title="The doctor can probe from this machine",
        probe=platform_probe,
        fails_when="No UDP or TCP socket can be opened here: a sandbox or a security policy forbids it. "
        "Nothing else can be tested from this machine.",
    ),
    CheckSpec(
        id="env.port-free",
        title="The ports of Calls are free on this machine",
        probe=port_free_probe,
        needs=("env.platform",),
        nothing_to_do=_no_server_here,
        fails_when="Another program owns 8443, 8045 or 3478. On the machine where Calls will run that program is in "
        "the way; where rtcd, the plugin or TURN own them, they are already installed. In the self-test it is "
        "a warning only, since the self-test picks free ports.",
    ),
)
