"""port.api-tcp: is it rtcd's API that answers on 8045?"""

from __future__ import annotations

import asyncio
import time
from typing import Any  # evidence is JSON
from urllib.parse import urlsplit

from calls_doctor.errors import NetworkError, ProtocolError, TlsError
from calls_doctor.model.check import API, Evidence, Finding, Status
from calls_doctor.net.sockets import trouble_word
from calls_doctor.spec import CheckSpec, Context, no_rtcd_api
from calls_doctor.wire import rtcd_version

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
    findings = await asyncio.gather(*(_api_at(url, address) for address in addresses))
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


async def _api_at(url: str, host: str) -> Finding:
    """TCP connect, then GET /version."""
    from calls_doctor.net import http, rtcd_client

    evidence: Evidence = {"address": host}
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
    who = "a stand-in" if rtcd_version.is_stand_in(version) else "rtcd"
    summary = f"{who} answers, version {version or 'unnamed'}"
    return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)


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


def _api_fault(url: str, evidence: Evidence, stage: str, trouble: str, detail: str) -> Finding:
    evidence |= {"stage": stage, "trouble": trouble}
    return Finding(status=Status.FAIL, summary=detail, target=url, evidence=evidence)


CHECKS = (
    CheckSpec(
        id=API,
        title="rtcd's API answers",
        probe=api_tcp_probe,
        needs=("env.platform",),
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        required=True,
        guide_steps=("1.6.5", "2B.2.1", "2B.2.2"),
        packets_max=24,
        timeout_s=10.0,
        fails_when="The port is refused or silent, something else than rtcd answers, or TLS is spoken at one end only.",
    ),
)
