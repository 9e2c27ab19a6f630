"""Books: what one end counted of what it sent and saw, per flow. Both ends keep them, so that a verdict can name the
direction in which something was lost."""

from __future__ import annotations

import msgspec

PROBES_MAX = 128
"""How many probe numbers a session's books remember."""


class PathBooks(msgspec.Struct, kw_only=True, array_like=True):
    """What passed on one path (one 5-tuple), counted in packets by kind; bytes are UDP or TCP payload."""

    transport: str
    """"udp", "tcp" or "relay", as this end sees it."""
    local: tuple[str, int]
    remote: tuple[str, int]
    """The other end's address as this end sees it: behind NAT, the mapped one."""
    stun_in: int = 0
    stun_out: int = 0
    dtls_in: int = 0
    dtls_out: int = 0
    rtp_in: int = 0
    rtp_out: int = 0
    rtcp_in: int = 0
    rtcp_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class ProbeSeen(msgspec.Struct, frozen=True, array_like=True):
    """One numbered probe that arrived."""

    number: int
    size_bytes: int
    at_s: float
    """On this end's own clock; only differences mean anything."""


class StreamBooks(msgspec.Struct, kw_only=True, array_like=True):
    """What was received of one RTP stream (RFC 3550 section 6.4.1 and appendix A)."""

    ssrc: int
    received: int = 0
    expected: int = 0
    """From the first to the highest sequence number seen."""
    duplicated: int = 0
    reordered: int = 0
    jitter_s: float = 0.0
    """Median of the running interarrival jitter."""
    first_at_s: float = 0.0
    last_at_s: float = 0.0


class SessionBooks(msgspec.Struct, kw_only=True, array_like=True):
    """All that one end knows of one session."""

    session: str
    """The name both ends know the session by: the first 17 characters of the user name fragment (run, leg, nonce)."""
    paths: list[PathBooks] = []
    streams: list[StreamBooks] = []
    """RTP received in this session."""
    probes: list[ProbeSeen] = []
    sent_rtp: int = 0
    dtls_retransmissions: int = 0
    failure: str = ""
    """Why the session ended badly: stage and reason; "" if it did not."""
    timeline: dict[str, float] = {}
    """Stage -> seconds after the session's first packet: stun, ice, dtls, rtp."""
    over_limit: int = 0
    """Packets and data that this end took and did not pass on: the session sent more than it may cause."""


class RunBooks(msgspec.Struct, kw_only=True, array_like=True):
    """What the far end knows of one run."""

    run: str
    sessions: list[SessionBooks] = []
    foreign_runs: int = 0
    """Binding requests whose fragment names another run."""
    bad_integrity: int = 0
    """Binding requests of this run whose MESSAGE-INTEGRITY is wrong."""
    unauthenticated: int = 0
    """Packets that are neither, from addresses that never authenticated."""
