"""The stand-in's media port for tests: in this process, or in one of its own that can be stopped and killed."""

from __future__ import annotations

import secrets

from calls_doctor.model.site import MediaAddress
from calls_doctor.net.paired import PairedHost
from calls_doctor.standin.launch import Options, Ready
from calls_doctor.standin.server import StandIn
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link

HOST = "127.0.0.1"
MEDIA_ONLY = Options(without=frozenset({"api", "stun", "turn"}))


def media_host() -> StandIn:
    """`async with media_host() as stand_in: ...`, in this process."""
    return StandIn(MEDIA_ONLY)


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
    link = Link(HOST, ready.media_port, Keys(secrets.token_bytes(KEY_BYTES)), ready.pairing.fingerprint)
    return PairedHost(link, MediaAddress(host=HOST, udp_port=ready.media_port, tcp_port=ready.media_port))
