"""port.api-tcp: is it rtcd's API that answers on 8045, and does its WebSocket open with the right key alone?"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any  # evidence is JSON
from urllib.parse import urlsplit

from calls_doctor.errors import FarEndError, HttpError, NetworkError, ProtocolError, TlsError
from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, Site
from calls_doctor.net.sockets import trouble_word
from calls_doctor.spec import UNAUTHORISED, CheckSpec, Context
from calls_doctor.wire import rtcd_version

if TYPE_CHECKING:
    from calls_doctor.net.paired import PairedHost

TIMEOUT_S = 2.6
"""For each step at rtcd's API; the system sends a second SYN after a second, a third after three."""
TLS_TRY_S = 0.5
MAY_WANT_TLS = ("cut", "not-http", "status-400")
"""What a server that speaks TLS makes of plain HTTP."""


async def api_tcp_probe(context: Context) -> Finding:
    """Every address of rtcd's name by itself: the plugin keeps a connection to each. One that fails is a failure."""
    from calls_doctor.net import http

    url = context.site.rtcd_url
    try:
        addresses = await http.addresses_of(url)
    except NetworkError as error:
        return _api_fault(url, {}, "connect", trouble_word(error), str(error))
    findings = await asyncio.gather(*(_api_at(context, url, address) for address in addresses))
    at = next((n for n, one in enumerate(findings) if one.status is not Status.PASS), 0)
    if len(addresses) == 1:
        return findings[0]
    rows = [_api_row(*pair) for pair in zip(addresses, findings, strict=True)]
    good = sum(one.status is Status.PASS for one in findings)
    said = findings[at].summary if good == len(rows) else f"{addresses[at]}: {findings[at].summary}"
    return Finding(
        status=findings[at].status,
        summary=f"{said} ({good} of {len(rows)} addresses answer)",
        target=url,
        evidence=findings[at].evidence | {"addresses": rows},
    )


def _api_row(address: str, finding: Finding) -> dict[str, Any]:
    told = {key: finding.evidence.get(key) for key in ("stage", "trouble", "version")}
    return {"address": address, "ok": finding.status is Status.PASS} | told


async def _api_at(context: Context, url: str, host: str) -> Finding:
    """TCP connect, GET /version, then the stand-in's WebSocket: hello with this run's pair, refusal of a wrong one."""
    from calls_doctor.net import http, rtcd_client

    evidence: Evidence = {}
    stage = "connect"
    try:
        stream = await http.connect(url, TIMEOUT_S, host=host)
        stage = "http"
        answer = await http.get_over(stream, f"{url}/version", TIMEOUT_S)
    except NetworkError as error:
        word = trouble_word(error)
        return await _no_answer(url, host, evidence, stage, word, str(error))
    except ProtocolError as error:
        word = "tls" if isinstance(error, TlsError) else "not-http"
        if isinstance(error, TlsError) and error.fault:
            evidence |= await _certificate(url, host, error.fault)
        return await _no_answer(url, host, evidence, stage, word, str(error))
    evidence |= {"connect_s": round(answer.connect_s, 6), "http_status": answer.status}
    version = rtcd_client.version_of(answer)
    if version is None:
        word = f"status-{answer.status}"
        said = f"what answers {url}/version is not rtcd's API (status {answer.status})"
        return await _no_answer(url, host, evidence, stage, word, said)
    evidence["version"] = version
    if context.paired is None or not version.startswith(rtcd_version.STAND_IN_PREFIX):
        summary = f"rtcd answers, version {version or 'unnamed'}; nothing was asked that needs its credentials"
        return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)
    # Behind one name each of several stand-ins knows its own run's key alone: at the first that does, it is decided.
    for paired in (context.paired, *context.others):
        finding = await _hello(paired, url, host, dict(evidence))
        if finding.evidence.get("trouble") != "unauthorized":
            return finding
    # The media port tells whether the link is this run's: where it does not know it either, no key could be right.
    if context.site.phase is Phase.SELF_TEST or await context.told() is not None:
        return finding
    summary = f"{url} is a stand-in that does not know this link: as far as anything here answers, it is another run's"
    evidence = finding.evidence | {"trouble": UNAUTHORISED}
    return Finding(status=Status.UNKNOWN, summary=summary, target=url, evidence=evidence)


async def _certificate(url: str, host: str, fault: str) -> Evidence:
    """What a certificate that is at fault says of its time."""
    from calls_doctor.net import certificate, http

    evidence: Evidence = {"fault": fault, "asked_unix_s": round(time.time(), 3)}
    try:
        address = await http.address_of(url, host)
        told = (await certificate.handshake(address, urlsplit(url).hostname or "", TIMEOUT_S)).certificate
    except (NetworkError, ProtocolError):
        return evidence
    return evidence | (told.evidence if told is not None else {})


async def _no_answer(url: str, host: str, evidence: Evidence, stage: str, trouble: str, detail: str) -> Finding:
    """rtcd has not answered. A server that wants TLS says so in HTTP, in TLS or by closing: that is told apart."""
    from calls_doctor.net import http

    asked_plainly = stage == "http" and url.startswith("http:")
    if asked_plainly and trouble in MAY_WANT_TLS and await http.speaks_tls_at(url, TLS_TRY_S, host=host):
        return _api_fault(url, evidence, stage, "wants-tls", f"{url}: the port speaks TLS, and the URL says http")
    return _api_fault(url, evidence, stage, trouble, detail)


async def _hello(paired: PairedHost, url: str, host: str, evidence: Evidence) -> Finding:
    from calls_doctor.net import rtcd_client

    ours = rtcd_client.basic(paired.api_client_id, paired.api_auth_key)
    wrong = rtcd_client.basic("calls-doctor-wrong", Secret(secrets.token_hex(20)))
    try:
        greeting = await rtcd_client.hello(url, ours, TIMEOUT_S, host=host)
        if greeting.client_id != paired.api_client_id:
            raise HttpError(f"the WebSocket at {url} does not begin with rtcd's hello to this client")
        evidence["hello_s"] = round(greeting.took_s, 6)
        refused = await rtcd_client.refuses(url, wrong, TIMEOUT_S, host=host)
    except (NetworkError, ProtocolError) as error:
        word = trouble_word(error) if isinstance(error, NetworkError) else "not-websocket"
        return _api_fault(url, evidence, "websocket", word, f"/version answers, the WebSocket does not: {error}")
    except FarEndError as error:
        # rtcd says 200 instead of 101 where the credentials are wrong (rtcd-protocol, "Trap").
        word = "unauthorized" if error.code == rtcd_client.WRONG_CREDENTIALS else f"status-{error.code}"
        return _api_fault(url, evidence, "websocket", word, f"/version answers, {error}")
    evidence["refuses_wrong_key"] = refused
    if not refused:
        return _api_fault(url, evidence, "websocket", "open", "the WebSocket accepts a key that nobody gave out")
    summary = f"/version, the WebSocket's hello in {evidence['hello_s'] * 1000:.0f} ms, a wrong key is refused"
    return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)


def _api_fault(url: str, evidence: Evidence, stage: str, trouble: str, detail: str) -> Finding:
    evidence |= {"stage": stage, "trouble": trouble}
    return Finding(status=Status.FAIL, summary=detail, target=url, evidence=evidence)


def _no_api(site: Site) -> str:
    if not site.rtcd_url:
        return "no rtcd API was named: give it with --rtcd-url"
    judged_here = site.mode is None or site.phase is Phase.SELF_TEST or site.vantage is Role.MATTERMOST
    return "" if judged_here else "rtcd's API is for the Mattermost nodes; it is judged from there"


CHECKS = (
    CheckSpec(
        id="port.api-tcp",
        title="rtcd's API answers over HTTP and WebSocket",
        probe=api_tcp_probe,
        needs=("env.platform",),
        nothing_to_do=_no_api,
        targets=lambda site: [site.rtcd_url],
        required=True,
        guide_steps=("1.6.5", "2B.2.1"),
        packets_max=40,
        timeout_s=20.0,
        fails_when="The port is refused or silent, something else than rtcd answers, TLS is spoken at one end only, or "
        "HTTP works and the WebSocket upgrade does not (a proxy in between that strips it, or a wrong key).",
    ),
)
