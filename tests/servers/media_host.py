"""The stand-in's media port for tests: in this process, or in one of its own that can be stopped and killed."""

from __future__ import annotations

import math
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from calls_doctor.model.check import CheckResult, Finding
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.facts import Facts
from calls_doctor.model.site import MediaAddress, Phase, ServerUri, Site
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.relay import Relays
from calls_doctor.spec import Context
from calls_doctor.standin.launch import Options, Ready
from calls_doctor.standin.server import StandIn
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link
from tests.servers.middlebox import HOST, Middlebox, Rule, Tcp

MEDIA_ONLY = Options(without=frozenset({"api", "stun", "turn"}))


def media_host() -> StandIn:
    """`async with media_host() as stand_in: ...`, in this process."""
    return StandIn(MEDIA_ONLY)


def box_before(
    stand_in: StandIn,
    *rules: Rule,
    tcp: Tcp = Tcp.PASS,
    cut_after_bytes: int | None = None,
    forgets_after_s: float = math.inf,
) -> Middlebox:
    """A middlebox before a stand-in that runs."""
    assert stand_in.ready is not None, "asked for while the stand-in runs"
    server = (HOST, stand_in.ready.media_port)
    return Middlebox(server, *rules, tcp=tcp, cut_after_bytes=cut_after_bytes, forgets_after_s=forgets_after_s)


@asynccontextmanager
async def behind(*rules: Rule, tcp: Tcp = Tcp.PASS, cut_after_bytes: int | None = None) -> AsyncIterator[PairedHost]:
    """A stand-in behind a middlebox, as checks are given it."""
    async with media_host() as stand_in, box_before(stand_in, *rules, tcp=tcp, cut_after_bytes=cut_after_bytes) as box:
        yield paired(stand_in.ready, box.port)


def paired(ready: Ready | None, port: int = 0, tcp_port: int | None = None) -> PairedHost:
    """What checks are given; `port` is a middlebox's, 0 for the stand-in's own."""
    assert ready is not None, "asked for while the stand-in runs"
    port = port or ready.media_port
    return PairedHost(
        ready.pairing, MediaAddress(host=HOST, udp_port=port, tcp_port=port if tcp_port is None else tcp_port)
    )


def stranger(ready: Ready | None) -> PairedHost:
    """The same host, with the key of another run."""
    assert ready is not None, "asked for while the stand-in runs"
    link = stranger_link(ready)
    return PairedHost(link, MediaAddress(host=HOST, udp_port=ready.media_port, tcp_port=ready.media_port))


def stranger_link(ready: Ready) -> Link:
    """A link to the same port with the key of another run."""
    return Link(HOST, ready.media_port, Keys(secrets.token_bytes(KEY_BYTES)), ready.pairing.fingerprint)


def context(
    host: PairedHost | None,
    *,
    results: Mapping[str, CheckResult] | None = None,
    media_time_s: float = 0.3,
    phase: Phase = Phase.SELF_TEST,
    thorough: bool = False,
    turn: tuple[ServerUri, ...] = (),
    credentials: Credentials | None = None,
    facts: Facts | None = None,
    site: Site | None = None,
    relays: Relays | None = None,
) -> Context:
    """What a check against this host is given; `site` instead of the one that phase and TURN make."""

    async def told() -> Facts | None:
        return facts

    return Context(
        site=site or Site(phase=phase, media=(MediaAddress(host=HOST),), turn=turn),
        credentials=credentials or Credentials(),
        results=results or {},
        paired=host,
        told=told,
        relays=relays or Relays(),
        media_time_s=media_time_s,
        thorough=thorough,
    )


def result(check: str, finding: Finding) -> CheckResult:
    """A finding as the checks that need it see it."""
    return CheckResult(
        id=check,
        title=check,
        category=check.split(".")[0],
        status=finding.status,
        vantage="client",
        evidence=finding.evidence,
        summary=finding.summary,
    )
