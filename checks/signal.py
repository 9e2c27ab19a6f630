"""signal.*: does the way over which callers signal carry a WebSocket, and go on carrying it; and does who leaves a call
leave nothing behind?

Nobody logs in: what Mattermost says to a caller without a session is enough to tell the way from the application.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from calls_doctor.errors import FarEndError, NetworkError, NotSent, ProtocolError, TlsError
from calls_doctor.model.check import Evidence, Finding, Status
from calls_doctor.model.flow import CALLERS
from calls_doctor.net.sockets import trouble_word
from calls_doctor.spec import (
    NETWORK_PHASES,
    RTCD_CALLS,
    CheckSpec,
    Context,
    no_rtcd_api,
    no_site,
    no_site_address,
    nothing_to_do,
    site_address,
)

TIMEOUT_S = 2.6
PING_PATH, WEBSOCKET_PATH = "/api/v4/system/ping", "/api/v4/websocket"
HOLD_S = 3.0
"""Mattermost itself hangs up on whoever has not logged in after 5 s, so nobody can hold on longer without a session."""
SERVER_FAULTS = range(500, 600)
REDIRECTS = range(300, 400)


async def websocket_probe(context: Context) -> Finding:
    """GET of Mattermost's ping, the upgrade as a browser asks for it, and a pong before and after a time of silence."""
    from calls_doctor.net import http

    if (skip := no_site_address(context)) is not None:
        return skip
    url = context.site.mattermost_url
    evidence: Evidence = {}
    try:
        # Looked up once: a name server that is slow is not the site's WebSocket.
        host, _ = await http.address_of(url, site_address(context))
    except NetworkError as error:
        return _fault(url, evidence, "connect", trouble_word(error), str(error), Status.UNKNOWN)
    if (fault := await _answers(url, host, evidence)) is not None:
        return fault
    return await _holds(url, host, evidence)


async def _answers(url: str, host: str, evidence: Evidence) -> Finding | None:
    """What is wrong with plain HTTP; None where nothing is."""
    from calls_doctor.net import http

    stage = "connect"
    try:
        stream = await http.connect(url, TIMEOUT_S, host=host)
        stage = "http"
        answer = await http.get_over(stream, f"{url}{PING_PATH}", TIMEOUT_S)
    except NetworkError as error:
        unsent = isinstance(error, NotSent)
        return _fault(url, evidence, stage, trouble_word(error), str(error), Status.UNKNOWN if unsent else Status.FAIL)
    except ProtocolError as error:
        return _fault(url, evidence, stage, "tls" if isinstance(error, TlsError) else "not-http", str(error))
    evidence |= {"connect_s": round(answer.connect_s, 6), "http_status": answer.status}
    evidence["is_mattermost"] = answer.status == 200 and _says_ok(answer.body)
    if answer.status in REDIRECTS:
        said = f"answers with a redirect ({answer.status}): give the URL to which it leads"
        return _fault(url, evidence, stage, f"status-{answer.status}", said, Status.UNKNOWN)
    if answer.status in SERVER_FAULTS:
        said = f"answers {answer.status} to {PING_PATH}: Mattermost is not well, or a proxy does not reach it"
        return _fault(url, evidence, stage, f"status-{answer.status}", said)
    return None


def _says_ok(body: bytes) -> bool:
    """Mattermost's ping: a JSON object with a status."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and "status" in said


async def _holds(url: str, host: str, evidence: Evidence) -> Finding:
    """The WebSocket: opened with the site's own Origin, asked for a pong, left alone, and asked again."""
    from calls_doctor.net.websocket import open_websocket

    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    origin = ("Origin", f"{parts.scheme}://{parts.netloc}")
    stage = "websocket"
    began_s = loop.time()
    try:
        async with open_websocket(_websocket(url), TIMEOUT_S, headers=[origin], host=host) as socket:
            evidence["upgrade_s"] = round(loop.time() - began_s, 6)
            evidence["pong_s"] = round(await socket.pong(TIMEOUT_S), 6)
            stage = "hold"
            held_since_s = loop.time()
            await socket.idle(HOLD_S)
            evidence["hold_s"] = round(loop.time() - held_since_s, 3)
            await socket.pong(TIMEOUT_S)
    except (NetworkError, ProtocolError) as error:
        if stage == "hold":
            evidence["held_s"] = round(loop.time() - held_since_s, 3)
        word = trouble_word(error) if isinstance(error, NetworkError) else "not-websocket"
        return _fault(url, evidence, stage, word, str(error))
    except FarEndError as error:
        return await _not_upgraded(url, host, evidence, error)
    summary = f"the WebSocket opens in {evidence['upgrade_s'] * 1000:.0f} ms and outlives {HOLD_S:g} s of silence"
    return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)


async def _not_upgraded(url: str, host: str, evidence: Evidence, error: FarEndError) -> Finding:
    """Whether it is the Origin that is refused: a proxy that gives Mattermost another Host makes it a foreign one."""
    from calls_doctor.net.websocket import open_websocket

    evidence["without_origin"] = False
    try:
        async with open_websocket(_websocket(url), TIMEOUT_S, host=host):
            evidence["without_origin"] = True
    except (NetworkError, ProtocolError, FarEndError):
        pass  # so the Origin is not why
    if not evidence["is_mattermost"] and not evidence["without_origin"]:
        said = f"what answers is not Mattermost: {evidence['http_status']} to {PING_PATH}, {error}"
        return _fault(url, evidence, "http", "not-mattermost", said)
    why = ", to a page of the site's own address: a proxy hides its Host" if evidence["without_origin"] else ""
    word = "origin" if evidence["without_origin"] else f"status-{error.code}"
    return _fault(url, evidence, "websocket", word, f"HTTP is answered, {error}{why}")


def _websocket(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}{WEBSOCKET_PATH}"


def _fault(
    url: str, evidence: Evidence, stage: str, trouble: str, detail: str, status: Status = Status.FAIL
) -> Finding:
    evidence |= {"stage": stage, "trouble": trouble, "trouble_detail": detail}
    return Finding(status=status, summary=detail, target=url, evidence=evidence)


async def teardown_probe(context: Context) -> Finding:
    """What the calls through rtcd saw when their sessions left; nothing more is sent."""
    if context.paired is not None:
        return nothing_to_do("calls go to the stand-in, past rtcd's signalling")
    ended = [
        result.evidence["signalling"]
        for check in RTCD_CALLS
        if (result := context.results.get(check)) is not None and "left_over" in result.evidence.get("signalling", {})
    ]
    url = context.site.rtcd_url
    if not ended:
        return Finding(status=Status.SKIP, summary="no call through rtcd came to its end", blocked_by=RTCD_CALLS[0])
    counts = {key: sum(one[key] for one in ended) for key in ("sessions", "closes_told")}
    evidence: Evidence = {"calls": len(ended)} | counts
    asked = [one["left_over"] for one in ended if one["left_over"] is not None]
    left = evidence["left_over"] = sum(asked) if asked else None
    sessions, told = evidence["sessions"], evidence["closes_told"]
    if left:
        summary = f"{left} of {sessions} sessions that left are still in their calls: users would be shown in a call"
        return Finding(status=Status.FAIL, summary=summary, target=url, evidence=evidence)
    if told < sessions:
        summary = f"{sessions} sessions left, and rtcd said of {told} that they are over"
        return Finding(status=Status.WARN, summary=summary, target=url, evidence=evidence)
    seen = "none is left in its call" if asked else "its API does not say whether one is left"
    summary = f"{sessions} sessions left, rtcd said of each that it is over; {seen}"
    return Finding(status=Status.PASS, summary=summary, target=url, evidence=evidence)


CHECKS = (
    CheckSpec(
        id="signal.websocket",
        title="The site answers, and its WebSocket opens and stays open",
        probe=websocket_probe,
        needs=("env.platform", "tls.site"),
        uses=("dns.site",),
        vantages=CALLERS,
        phases=NETWORK_PHASES,
        nothing_to_do=no_site,
        targets=lambda site: [f"{site.mattermost_url}{WEBSOCKET_PATH}"],
        packets_max=40,
        timeout_s=20.0,
        fails_when="The site is not reached, hangs or says 5xx; or HTTP works and the WebSocket does not: a proxy that "
        "does not pass Upgrade, Connection or Host, or that hangs up on what is silent for a moment. Without a session "
        "Mattermost itself hangs up after 5 s, so it is held for 3 s, with a ping before and after.",
    ),
    CheckSpec(
        id="signal.teardown",
        title="Who leaves a call through rtcd is gone from it",
        probe=teardown_probe,
        needs=("api.rtcd-auth",),
        uses=RTCD_CALLS,
        phases=NETWORK_PHASES,
        nothing_to_do=no_rtcd_api,
        targets=lambda site: [site.rtcd_url],
        timeout_s=5.0,
        fails_when="rtcd still has sessions of the doctor's own seconds after they left (GET /calls/CALL/sessions): "
        "users would be shown in a call that they have left. It warns where rtcd has none and did not say so to each "
        "on the WebSocket, which it does within a second. The calls through rtcd show it; nothing more is sent.",
    ),
)
