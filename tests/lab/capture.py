"""Every IPv4 packet that leaves a machine of the lab: when, to whom, of which kind. Needs root; Linux only.

Run inside the machine's namespace (`python -m tests.lab.capture INTERFACE`) it writes one JSON row a packet until it
is ended; `capturing` does so, and reads the rows back.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.network import Machine
from tests.lab.two_hosts import HERE

IPV4 = 0x0800
ALL = 0x0003
PACKET_OUTGOING = 4
SO_TIMESTAMPNS = 35
"""asm-generic/socket.h: when the kernel saw the packet, on the wall clock."""
TIMESPEC = struct.Struct("@qq")
UDP_HEADER_BYTES = 8
LENGTH_BYTES = 2
MEDIA, CHANNELS = range(128, 192), range(64, 80)
"""First bytes: of RTP and RTCP, and of TURN's ChannelData (RFC 7983), which may carry them."""
CHANNEL_HEADER_BYTES = 4
PAYLOAD_KEPT_BYTES = 24
READY_S = 10.0


@dataclass(frozen=True)
class Packet:
    """One that left."""

    at_s: float
    """Since 1970."""
    to: str
    transport: str
    """"udp", "tcp", or IP's protocol number."""
    port: int
    """At the far end."""
    from_port: int
    size_bytes: int
    """IP header and all."""
    payload: bytes
    """Of UDP or TCP, its beginning."""


def packet_of(data: bytes, at_s: float) -> Packet:
    """An IPv4 packet, read (RFC 791, 768, 9293)."""
    header_bytes = (data[0] & 0x0F) * 4
    total_bytes, protocol = int.from_bytes(data[2:4], "big"), data[9]
    inner = data[header_bytes:total_bytes]
    port, from_port, start = 0, 0, 0
    if protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
        from_port, port = int.from_bytes(inner[:2], "big"), int.from_bytes(inner[2:4], "big")
        start = UDP_HEADER_BYTES if protocol == socket.IPPROTO_UDP else (inner[12] >> 4) * 4
    name = {socket.IPPROTO_UDP: "udp", socket.IPPROTO_TCP: "tcp"}.get(protocol, str(protocol))
    beginning = inner[start : start + PAYLOAD_KEPT_BYTES] if start else b""
    return Packet(at_s, socket.inet_ntoa(data[16:20]), name, port, from_port, total_bytes, beginning)


def without_media(packets: Sequence[Packet]) -> list[Packet]:
    """All but RTP and RTCP, over UDP, framed over TCP (RFC 4571) or through a relay, and but the bare acknowledgements
    of the TCP connections that carried some. A call's ICE and DTLS are counted."""
    calls = {one.from_port for one in packets if one.transport == "tcp" and _is_media(one)}
    return [
        one
        for one in packets
        if not _is_media(one) and not (one.transport == "tcp" and not one.payload and one.from_port in calls)
    ]


def _is_media(packet: Packet) -> bool:
    inner = packet.payload[LENGTH_BYTES:] if packet.transport == "tcp" else packet.payload
    if inner and inner[0] in CHANNELS:
        inner = inner[CHANNEL_HEADER_BYTES:]
    return bool(inner) and inner[0] in MEDIA


def busiest(packets: Sequence[Packet], window_s: float = 1.0) -> dict[str, list[Packet]]:
    """For each host the packets of the window in which it was sent the most."""
    found: dict[str, list[Packet]] = {}
    for host in {one.to for one in packets}:
        sent = sorted((one for one in packets if one.to == host), key=lambda one: one.at_s)
        ends = [bisect_left(sent, one.at_s + window_s, key=lambda other: other.at_s) for one in sent]
        begin = max(range(len(sent)), key=lambda place: ends[place] - place)
        found[host] = sent[begin : ends[begin]]
    return found


def most_bytes(packets: Sequence[Packet], window_s: float = 1.0) -> dict[str, int]:
    """For each host the bytes of the window in which it was sent the most of them."""
    found: dict[str, int] = {}
    for host in {one.to for one in packets}:
        sent = sorted((one for one in packets if one.to == host), key=lambda one: one.at_s)
        ends = [bisect_left(sent, one.at_s + window_s, key=lambda other: other.at_s) for one in sent]
        found[host] = max(sum(one.size_bytes for one in sent[place:end]) for place, end in enumerate(ends))
    return found


@contextlib.contextmanager
def capturing(machine: Machine, directory: Path, interface: str = "eth0") -> Iterator[list[Packet]]:
    """The packets that leave by this interface meanwhile; the list is filled at the end."""
    packets: list[Packet] = []
    command = machine.command([sys.executable, "-m", "tests.lab.capture", interface])
    target = directory / f"{machine.name}.packets"
    with target.open("wb") as rows:
        process = subprocess.Popen(command, stdout=rows, stderr=subprocess.PIPE, env=HERE)
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == b"ready\n"
            yield packets
        finally:
            process.terminate()
            process.communicate(timeout=READY_S)
    for line in target.read_text().splitlines():
        row = json.loads(line)
        packets.append(Packet(**row | {"payload": bytes.fromhex(row["payload"])}))


def main(arguments: Sequence[str]) -> None:
    """Rows on standard output, until it is ended."""
    (interface,) = arguments
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL)) as watching:
        watching.bind((interface, ALL))
        watching.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sys.stderr.write("ready\n")
        sys.stderr.flush()
        while True:
            data, ancillary, _, address = watching.recvmsg(65536, 64)
            if address[1] != IPV4 or address[2] != PACKET_OUTGOING:
                continue
            seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
            row = asdict(packet_of(data, seconds + nanoseconds / 1e9))
            row["payload"] = row["payload"].hex()
            sys.stdout.write(f"{json.dumps(row)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
