"""What one session of an rtcd call sends: which packet is of which track, and to whom each track goes.

A track begins with its first packet, as with rtcd: what was announced and does not come is shown to nobody. Packets are
not decoded; of a header extension only the section's name (MID) is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from calls_doctor.wire.rtcd_sdp import MID_EXTENSION, OPUS, Section

TRACKS_MAX = 8
"""Streams of one session that are forwarded; a client of Mattermost has two of audio and two of video at most."""
RECENT_PACKETS = 256
"""Of video, which a receiver may have again; so many rtcd keeps."""
_ONE_BYTE_PROFILE = 0xBEDE


@dataclass(frozen=True)
class Receiver:
    """One session that a track goes to, and how its packets are named there."""

    session_id: str
    ssrc: int
    payload_type: int


@dataclass
class Track:
    """One stream of a session."""

    name: str
    """TYPE_SESSION_RANDOM."""
    type: str
    """"voice", "screen", "screen-audio", "video"; "" for one that nobody gets."""
    mid: str
    codec: str
    ssrc: int
    receivers: tuple[Receiver, ...] = ()
    asked_at: float = field(default=float("-inf"))
    """When a key frame was asked for last."""
    recent: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Its last RECENT_PACKETS, by their sequence numbers, in the order in which they came."""

    @property
    def is_video(self) -> bool:
        """Its packets go on without header extensions, and may be had again."""
        return self.codec != OPUS

    def remember(self, packet: bytes) -> None:
        """Keeps a packet of video as it goes on."""
        self.recent[int.from_bytes(packet[2:4], "big")] = packet
        if len(self.recent) > RECENT_PACKETS:
            del self.recent[next(iter(self.recent))]


def section_of(packet: bytes, sections: Sequence[Section]) -> Section | None:
    """Whose packet it is: which announced its SSRC, or is named in it, or is the only one with its payload type."""
    sending = [one for one in sections if one.client_sends and not one.refused and one.codecs]
    ssrc = int.from_bytes(packet[8:12], "big")
    announced = next((one for one in sending if ssrc in one.ssrcs), None)
    if announced is not None:
        return announced
    payload_type = packet[1] & 0x7F
    alike = [one for one in sending if any(codec.payload_type == payload_type for codec in one.codecs)]
    for one in alike:
        number = one.extension(MID_EXTENSION)
        if number is not None and extension(packet, number) == one.mid.encode():
            return one
    return alike[0] if len(alike) == 1 else None


def codec_of(packet: bytes, section: Section) -> str:
    """The codec that its payload type means; "" for one that was not agreed on."""
    return next((one.name for one in section.codecs if one.payload_type == packet[1] & 0x7F), "")


def type_of(section: Section, codec: str, screen: str, video: str) -> str:
    """By the name of the client's stream: that of the call's shared screen, that of its own camera, or another. "" for
    video of no known stream, which rtcd drops."""
    if codec == OPUS:
        return "screen-audio" if section.stream and section.stream == screen else "voice"
    if section.stream and section.stream == screen:
        return "screen"
    return "video" if section.stream and section.stream == video else ""


def extension(packet: bytes, number: int) -> bytes | None:
    """A header extension of one byte (RFC 8285 section 4.2); None where the packet has it not, or is cut."""
    start = _extension_at(packet)
    if start is None or int.from_bytes(packet[start : start + 2], "big") != _ONE_BYTE_PROFILE:
        return None
    at, end = start + 4, start + 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    while at < min(end, len(packet)):
        found, size = packet[at] >> 4, (packet[at] & 0x0F) + 1
        if not packet[at]:
            at += 1
            continue
        if found == 15:
            return None
        if found == number:
            return packet[at + 1 : at + 1 + size]
        at += 1 + size
    return None


def without_extension(packet: bytes) -> bytes:
    """The packet without header extensions, as rtcd passes video on; as it is where it is cut."""
    start = _extension_at(packet)
    if start is None:
        return packet
    end = start + 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    if end > len(packet):
        return packet
    return bytes((packet[0] & ~0x10,)) + packet[1:start] + packet[end:]


def _extension_at(packet: bytes) -> int | None:
    """Where the extension's header begins; None where there is none, or it is cut."""
    start = 12 + 4 * (packet[0] & 0x0F)
    return start if packet[0] & 0x10 and len(packet) >= start + 4 else None
