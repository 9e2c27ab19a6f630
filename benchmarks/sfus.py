"""The SFUs that are compared, each a process of its own on 127.0.0.1, and how our client joins a call at each.

A call has one sender, who joins first. The clients are the same everywhere (benchmarks/participant.py); only the
signalling differs: none for the stand-in, whose link says all, an offer and an answer for the others.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.participant import Participant
from calls_doctor.model.flow import Address, Transport
from calls_doctor.model.site import MediaAddress
from calls_doctor.net.bound_sockets import bound_udp
from calls_doctor.net.paired import PairedHost
from calls_doctor.net.sockets import Channel, ChannelOpener, Receiver, open_udp
from calls_doctor.standin.launch import Options, StandInProcess
from calls_doctor.wire import direct, sdp
from calls_doctor.wire.connection import SessionSettings
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceRole

HOST = "127.0.0.1"
START_S, STOP_S = 10.0, 5.0
PCMU = 0
"""RFC 3551: 8000 bytes a second, so 160 are 20 ms. No codec costs an SFU that decodes and encodes less."""


@dataclass(frozen=True, kw_only=True)
class Sfu:
    """One that runs."""

    name: str
    pid: int
    join: Callable[[], Awaitable[Participant]]
    """Brings in one more participant, connected; the first is the one who sends. Raises TimeoutError."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """What one client of ours is in an SDP exchange."""

    fragment: str
    password: str
    ssrc: int
    local: Address

    def transport(self, certificate: Certificate) -> list[str]:
        """The lines by which it is reached."""
        return [
            f"a=ice-ufrag:{self.fragment}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {certificate.fingerprint.hex(':').upper()}",
            "a=setup:active",
            f"a=candidate:{sdp.host_candidate(Transport.UDP, *self.local)}",
            "a=end-of-candidates",
        ]

    def settings(self, certificate: Certificate, answer: sdp.Description, payload_type: int) -> SessionSettings:
        """Of the session that the answer promises."""
        return SessionSettings(
            session=self.fragment,
            ice_role=IceRole.CONTROLLING,
            dtls_role=DtlsRole.CLIENT,
            certificate=certificate,
            remote_fingerprint=answer.fingerprint,
            local_fragment=self.fragment,
            local_password=self.password,
            remote_fragment=answer.ice_ufrag,
            remote_password=answer.ice_pwd,
            ssrc=self.ssrc,
            payload_type=payload_type,
        )

    def opener(self, remote: Address) -> ChannelOpener:
        """Opens the way from its own port."""

        async def open_channel(receiver: Receiver) -> Channel:
            return await open_udp(remote, receiver, local=self.local)

        return open_channel


def new_client() -> Client:
    """One with a port that is free now."""
    with bound_udp(HOST, 0) as sock:
        port = sock.getsockname()[1]
    return Client(
        fragment=direct.base64_chars(secrets.token_bytes(6)),
        password=direct.base64_chars(secrets.token_bytes(18)),
        ssrc=secrets.randbelow(0xFFFFFFFF) + 1,
        local=(HOST, port),
    )


@asynccontextmanager
async def ours() -> AsyncIterator[Sfu]:
    """The stand-in's SFU."""
    process = StandInProcess(Options(without=frozenset({"api", "stun", "turn"})))
    async with process as ready:
        link = ready.pairing
        paired = PairedHost(link, MediaAddress(host=link.address, udp_port=link.port, tcp_port=link.port))
        call = paired.new_call()

        async def join() -> Participant:
            participant = Participant(paired.session_settings(direct.CONFERENCE_LEGS[0], call))
            await participant.connect(paired.opener(Transport.UDP))
            return participant

        yield Sfu(name="ours", pid=process.pid, join=join)


@asynccontextmanager
async def aiortc() -> AsyncIterator[Sfu]:
    """aiortc's MediaRelay, which decodes once and encodes for each receiver."""
    certificate = Certificate.generate()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.aiortc_sfu", HOST,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout, "both are pipes"
    stdin, stdout = process.stdin, process.stdout
    joined = 0

    async def join() -> Participant:
        nonlocal joined
        client = new_client()
        offer = _pcmu_offer(client, certificate, "recvonly" if joined else "sendonly")
        joined += 1
        stdin.write(json.dumps(offer).encode() + b"\n")
        async with asyncio.timeout(START_S):
            answer = sdp.parse(json.loads(await stdout.readline()))
        participant = Participant(client.settings(certificate, answer, PCMU))
        (candidate,) = answer.candidates
        await participant.connect(client.opener((candidate.address, candidate.port)))
        return participant

    try:
        yield Sfu(name="aiortc", pid=process.pid, join=join)
    finally:
        stdin.close()
        await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Waits for a process that was asked to end; one that does not in STOP_S is killed."""
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _pcmu_offer(client: Client, certificate: Certificate, direction: str) -> str:
    lines = [
        "v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", "t=0 0", "a=group:BUNDLE 0",
        f"m=audio 9 UDP/TLS/RTP/SAVPF {PCMU}", f"c=IN IP4 {HOST}", "a=rtcp-mux", "a=mid:0", f"a={direction}",
        f"a=rtpmap:{PCMU} PCMU/8000", f"a=ssrc:{client.ssrc} cname:load", *client.transport(certificate), "",
    ]  # fmt: skip
    return "\r\n".join(lines)
