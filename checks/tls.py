"""tls.*: is the certificate that callers meet at the site and at each TURN server over TLS one that they trust?

Trust is the system's own, so a private authority counts where this machine has it (SSL_CERT_FILE names another store).
Nothing is sent over a connection whose certificate is at fault.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any  # evidence is JSON
from urllib.parse import urlsplit

from calls_doctor.errors import NetworkError, NotSent, TlsError, Unresolved
from calls_doctor.model.check import API, Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS, address_class
from calls_doctor.model.site import ServerUri, Site
from calls_doctor.net.sockets import trouble_word
from calls_doctor.spec import (
    NETWORK_PHASES,
    CheckSpec,
    Context,
    no_rtcd_api,
    no_site,
    no_site_address,
    no_turn,
    nothing_to_do,
    rtcd_versions,
    site_address,
)

TIMEOUT_S = 2.6
DAY_S = 86_400.0
WARN_BELOW_S = 21 * DAY_S
WARN_BELOW_RATIO = 1 / 3
"""The same for a certificate that lives a few weeks only: those are renewed when so much of their life is left."""
PLUGIN_WAITS_S = 1.0
"""For a TLS handshake with rtcd, once TCP is there."""
HTTPS_PORT = 443
LOCALHOST = "localhost"
DNS = "dns.media-names"


async def site_probe(context: Context) -> Finding:
    """A verified handshake for the site's name."""
    from calls_doctor.net import http

    url = context.site.mattermost_url
    parts = urlsplit(url)
    name = parts.hostname or ""
    if parts.scheme != "https":
        return _without_tls(url, name)
    if (skip := no_site_address(context)) is not None:
        return skip
    try:
        row = await _looked_at(await http.address_of(url, site_address(context)), name)
    except NetworkError as error:
        status = Status.UNKNOWN if isinstance(error, NotSent | Unresolved) else Status.FAIL
        evidence: Evidence = {"stage": "connect", "trouble": trouble_word(error), "trouble_detail": str(error)}
        return Finding(status=status, summary=str(error), target=url, evidence=evidence)
    if not row["ok"]:
        said = {"stage": "tls", "trouble": row["fault"] or "not-tls", "trouble_detail": row["detail"]}
        return Finding(status=Status.FAIL, summary=row["detail"], target=url, evidence=row | said)
    return Finding(status=Status.WARN if row["soon"] else Status.PASS, summary=_well(row), target=url, evidence=row)


def _without_tls(url: str, name: str) -> Finding:
    """Where a page comes from the very machine that shows it, browsers ask for no HTTPS (Secure Contexts, W3C)."""
    evidence: Evidence = {"secure_context": _is_own(name)}
    if evidence["secure_context"]:
        return Finding(status=Status.PASS, summary="no TLS, on this very machine", target=url, evidence=evidence)
    summary = "the site's URL is http: browsers give a microphone to sites over https only"
    return Finding(status=Status.WARN, summary=summary, target=url, evidence=evidence)


def _is_own(name: str) -> bool:
    try:
        return address_class(name).is_loopback
    except ValueError:
        return name == LOCALHOST or name.endswith(f".{LOCALHOST}")


async def _looked_at(address: tuple[str, int], name: str) -> dict[str, Any]:
    """What a handshake at this address for this name came to. Raises NetworkError."""
    from calls_doctor.net import certificate

    row: dict[str, Any] = {"ok": False, "fault": "", "detail": "", "soon": False, "asked_unix_s": round(time.time(), 3)}
    try:
        found = await certificate.handshake(address, name, TIMEOUT_S)
    except TlsError as error:
        return row | {"detail": str(error)}
    row |= {"ok": not found.fault, "fault": found.fault, "protocol": found.protocol}
    row |= {"handshake_s": round(found.handshake_s, 6), "detail": found.detail}
    told = found.certificate
    if told is None:
        return row
    left_s = told.not_after_unix_s - row["asked_unix_s"]
    life_s = told.not_after_unix_s - told.not_before_unix_s
    row |= told.evidence | {"days_left": round(left_s / DAY_S, 1)}
    return row | {"soon": not found.fault and left_s < min(WARN_BELOW_S, life_s * WARN_BELOW_RATIO)}


def _well(row: dict[str, Any]) -> str:
    days = f", {row['days_left']:.0f} days left" if "days_left" in row else ""
    return f"the certificate is trusted{days}, {row['protocol']} in {row['handshake_s'] * 1000:.0f} ms"


async def turn_probe(context: Context) -> Finding:
    """The same at each TURN server that is named by turns:."""
    from calls_doctor.net import relay

    servers = await context.turn()
    uris = [uri for uri in servers.uris if uri.transport == "tls"]
    if not uris:
        return nothing_to_do(servers.why_none or "no TURN server is named by turns:")

    async def one(uri: ServerUri) -> dict[str, Any]:
        row: dict[str, Any] = {"uri": str(uri), "transport": uri.transport}
        try:
            row |= await _looked_at(await relay.address_of(uri), uri.host)
        except NetworkError as error:
            return row | {"ok": None, "trouble": trouble_word(error), "detail": str(error)}
        return row | {"trouble": "" if row["ok"] else "tls"}

    rows = await asyncio.gather(*(one(uri) for uri in uris))
    target = ", ".join(str(uri) for uri in uris)
    at_fault = [row for row in rows if row["ok"] is False]
    asked = [row for row in rows if row["ok"]]
    evidence: Evidence = {"servers": [row for row in rows if row["ok"] is not None]}
    evidence["not_asked"] = [row for row in rows if row["ok"] is None]
    if at_fault:
        status = Status.WARN if asked else Status.FAIL
        return Finding(status=status, summary=at_fault[0]["detail"], target=target, evidence=evidence)
    if DNS in context.results and all(row["trouble"] == "unresolved" for row in rows):
        return Finding(status=Status.SKIP, summary=str(rows[0]["detail"]), target=target, blocked_by=DNS)
    if not asked:  # whether anybody listens is for turn.challenge to judge
        return Finding(status=Status.UNKNOWN, summary=str(rows[0]["detail"]), target=target, evidence=evidence)
    soon = [row for row in asked if row["soon"]]
    summary = _well((soon or asked)[0])
    return Finding(status=Status.WARN if soon else Status.PASS, summary=summary, target=target, evidence=evidence)


async def rtcd_probe(context: Context) -> Finding:
    """The same at each address of rtcd's API, and within the second that the plugin gives it."""
    from calls_doctor.net import streams

    url = context.site.rtcd_url
    parts = urlsplit(url)
    if parts.scheme != "https":
        summary = "no TLS: this API and its keys are for the servers' own network"
        return Finding(status=Status.PASS, summary=summary, target=url, evidence={"tls": False})
    hosts = list(rtcd_versions(context.results))
    port = parts.port or HTTPS_PORT

    async def one(host: str) -> dict[str, Any]:
        row: dict[str, Any] = {"address": host}
        try:
            stream = await streams.open_stream((host, port), TIMEOUT_S)
            await stream.close()
            row |= await _looked_at((host, port), parts.hostname or "")
            return row | {"tls_s": round(max(0.0, row.get("handshake_s", 0.0) - stream.connect_s), 6)}
        except NetworkError as error:
            return row | {"ok": None, "soon": False, "detail": str(error), "trouble": trouble_word(error)}

    rows = await asyncio.gather(*(one(host) for host in hosts))
    evidence: Evidence = {"tls": True, "addresses": rows}
    slow = [row for row in rows if row.get("tls_s", 0.0) > PLUGIN_WAITS_S]
    if bad := [row for row in rows if row["ok"] is False]:
        return Finding(status=Status.FAIL, summary=bad[0]["detail"], target=url, evidence=evidence | {"stage": "tls"})
    if slow:
        said = f"the TLS handshake takes {slow[0]['tls_s']:.1f} s, and the Calls plugin waits {PLUGIN_WAITS_S:g} s"
        return Finding(status=Status.FAIL, summary=said, target=url, evidence=evidence | {"stage": "slow"})
    if unheard := [row for row in rows if row["ok"] is None]:
        return Finding(status=Status.UNKNOWN, summary=unheard[0]["detail"], target=url, evidence=evidence)
    soon = [row for row in rows if row["soon"]]
    status = Status.WARN if soon else Status.PASS
    return Finding(status=status, summary=_well((soon or rows)[0]), target=url, evidence=evidence)


def _no_turns(site: Site) -> str:
    if site.turn and not any(uri.transport == "tls" for uri in site.turn):
        return "no TURN server is named by turns:"
    return no_turn(site)


CHECKS = (
    CheckSpec(
        id="tls.site",
        title="The site is served over HTTPS with a certificate that callers trust",
        probe=site_probe,
        needs=("env.platform",),
        uses=("dns.site",),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=no_site,
        targets=lambda site: [site.mattermost_url],
        packets_max=24,
        timeout_s=15.0,
        fails_when="Nothing answers, what answers speaks no TLS, or its certificate has expired, is for another name, "
        "is signed by itself or by an authority that this machine does not know, or comes without its chain. Below 21 "
        "days (below a third of a life of a few weeks) it warns, and so it does where the site's URL is http: browsers "
        "give such a page no microphone.",
    ),
    CheckSpec(
        id="tls.turn",
        title="Each TURN server over TLS has a certificate that callers trust",
        probe=turn_probe,
        needs=("env.platform",),
        uses=(DNS,),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=_no_turns,
        targets=lambda site: [str(uri) for uri in site.turn if uri.transport == "tls"],
        packets_max=24,
        timeout_s=15.0,
        fails_when="As tls.site, for the name in the turns: URI. Mobile callers are the first to fail where the chain "
        "is not whole.",
    ),
    CheckSpec(
        id="tls.rtcd",
        title="rtcd's API over TLS has a certificate that this Mattermost node trusts, in time",
        probe=rtcd_probe,
        needs=(API,),
        phases=NETWORK_PHASES,
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        packets_max=24,
        timeout_s=10.0,
        fails_when="The handshake takes longer than the second that the Calls plugin waits, or one address of several "
        "shows a certificate that this machine does not trust; a private authority counts where this machine has it. "
        "It warns as tls.site does. Where the URL says http there is nothing to look at.",
    ),
)
