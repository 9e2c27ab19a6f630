"""Session descriptions (RFC 8866, 8829): the few attributes that a call needs are read strictly, all others are
skipped; the answer is written from a template (direct-call.md section 3).

Text in, text out. Nothing here knows who signals it: a browser's offer is answered by its own page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from calls_doctor.errors import SdpError
from calls_doctor.model.flow import Transport

TEXT_CHARS_MAX = 65536
MEDIA_MAX = 64
"""Sections of one description; a call of 30 with video has fewer."""
SETUPS = ("active", "passive", "actpass")
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
FINGERPRINT_BYTES = 32
"""SHA-256; aiortc lists longer hashes beside it, which say no more."""
UDP_PRIORITY, TCP_PRIORITY = 2130706431, 1671430143
"""Of the one host candidate of an answer (RFC 8445 section 5.1.2, RFC 6544 section 4.2)."""
_MEDIA = re.compile(r"([A-Za-z0-9]+) ([0-9]{1,5})(?:/[0-9]+)? ([A-Za-z0-9/]+)((?: [!-~]+)+)", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}", re.ASCII)  # RFC 8866 section 9
_ICE_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)  # RFC 8839 section 5.4
_ICE_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}", re.ASCII)
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*", re.ASCII)
_OPUS = re.compile(r"([0-9]{1,3}) opus/48000/2", re.ASCII | re.IGNORECASE)
_SSRC = re.compile(r"([0-9]{1,10})(?: .*)?", re.ASCII)
_CANDIDATE = re.compile(
    r"(?P<foundation>[A-Za-z0-9+/]{1,64}) (?P<component>[0-9]{1,5}) (?P<transport>[A-Za-z]+) (?P<priority>[0-9]{1,10}) "
    r"(?P<address>[!-~]{1,255}) (?P<port>[0-9]{1,5}) typ (?P<kind>[a-z]+)(?P<rest>(?: [!-~]+)*)",
    re.ASCII,
)  # RFC 8839 section 5.1; aiortc's foundations have 32 characters and more


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One ICE candidate. `str()` is the value of `a=candidate`."""

    transport: str
    """"udp" or "tcp"."""
    address: str
    """An IP address literal or a name: browsers hide theirs behind `.local` ones."""
    port: int
    kind: str = "host"
    tcp_type: str = ""
    """"active", "passive", "so" over TCP; "" over UDP (RFC 6544)."""
    priority: int = UDP_PRIORITY
    foundation: str = "1"
    component: int = 1

    def __str__(self) -> str:
        tcp_type = f" tcptype {self.tcp_type}" if self.tcp_type else ""
        return (
            f"{self.foundation} {self.component} {self.transport} {self.priority} {self.address} {self.port} "
            f"typ {self.kind}{tcp_type}"
        )


@dataclass(frozen=True, kw_only=True)
class Media:
    """One section."""

    kind: str
    """"audio", "video" or "application"."""
    port: int
    protocol: str
    formats: tuple[str, ...]
    """Payload types, or "webrtc-datachannel"."""
    mid: str
    opus_payload_type: int | None = None
    ssrcs: tuple[int, ...] = ()
    """As announced, each once."""
    direction: str = "sendrecv"
    """One of DIRECTIONS, as the writer sees it; without a word it is the first (RFC 8866 section 6.7)."""
    bundle_only: bool = False
    """In an offer, port 0 then means "only with the others", and not "refused" (RFC 9143 section 6)."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)
    """All of the section as they came, name -> values; "" for one without a value. Secrets are among them."""

    @property
    def refused(self) -> bool:
        """True where this section carries nothing."""
        return not self.port and not self.bundle_only


@dataclass(frozen=True, kw_only=True)
class Description:
    """An offer or an answer whose sections share one transport (BUNDLE): that of the first."""

    media: tuple[Media, ...]
    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprint: bytes
    """SHA-256 of the certificate."""
    setup: str
    """"active", "passive" or "actpass"."""
    candidates: tuple[Candidate, ...] = ()
    ice_lite: bool = False

    @property
    def mids(self) -> tuple[str, ...]:
        """Of all sections, in order."""
        return tuple(media.mid for media in self.media)

    @property
    def opus_payload_type(self) -> int | None:
        """Of the first section that has one."""
        return next((m.opus_payload_type for m in self.media if m.opus_payload_type is not None), None)


@dataclass
class _Section:
    """Lines of one section, or those before the first, by attribute name."""

    media_line: str = ""
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def first(self, name: str) -> str | None:
        return self.attributes.get(name, [None])[0]


def parse(text: str) -> Description:
    """Reads an offer or an answer. Raises SdpError, and nothing else."""
    session, *sections = _sections(text)
    if not sections:
        raise SdpError("the description has no section (m=)")
    media = tuple(_media(section) for section in sections)
    if len(set(m.mid for m in media)) != len(media):
        raise SdpError("two sections have one mid")
    transport = next((s for s, m in zip(sections, media, strict=True) if not m.refused), sections[0])
    return Description(
        media=media,
        ice_ufrag=_matching(_ICE_UFRAG, "ice-ufrag", transport, session),
        ice_pwd=_matching(_ICE_PWD, "ice-pwd", transport, session),
        fingerprint=_sha256(transport.attributes.get("fingerprint") or session.attributes.get("fingerprint") or []),
        setup=_setup(transport.first("setup") or session.first("setup")),
        candidates=tuple(parse_candidate(value) for value in transport.attributes.get("candidate", [])),
        ice_lite="ice-lite" in session.attributes,
    )


def parse_candidate(value: str) -> Candidate:
    """Reads the value of `a=candidate`, as it is trickled too. Raises SdpError, and nothing else."""
    match = _CANDIDATE.fullmatch(value.removeprefix("candidate:"))
    if match is None:
        raise SdpError("a candidate cannot be read")
    words = match["rest"].split()
    extensions = dict(zip(words[::2], words[1::2], strict=False))
    return Candidate(
        foundation=match["foundation"],
        component=_number(match["component"], 256, "a candidate's component"),
        transport=match["transport"].lower(),
        priority=_number(match["priority"], 0x7FFFFFFF, "a candidate's priority"),
        address=match["address"],
        port=_number(match["port"], 65535, "a candidate's port"),
        kind=match["kind"],
        tcp_type=extensions.get("tcptype", ""),
    )


def host_candidate(transport: Transport, address: str, port: int) -> Candidate:
    """The one candidate of an answer whose call is to take this transport alone."""
    if transport is Transport.TCP:
        return Candidate(
            foundation="2", transport="tcp", address=address, port=port, priority=TCP_PRIORITY, tcp_type="passive"
        )
    return Candidate(transport="udp", address=address, port=port)


def answer(offer: Description, candidate: Candidate, ufrag: str, pwd: str, fingerprint: bytes, ssrc: int) -> str:
    """The stand-in's answer to an offer: its first Opus section and its data channel are taken, all else is refused.

    One candidate, so the call is pure in its transport; end-of-candidates, without which aioice waits for ever; no
    header extension and no feedback, so that nothing needs translating. Raises SdpError where nothing can be taken.
    """
    wanted = [m for m in offer.media if not m.refused]
    audio = next((m for m in wanted if m.opus_payload_type is not None), None)
    data = next((m for m in wanted if m.kind == "application"), None)
    taken = [m for m in wanted if m is audio or m is data]
    if not taken:
        raise SdpError("the offer has neither an Opus section nor a data channel")
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite"]
    lines.append("a=group:BUNDLE " + " ".join(m.mid for m in taken))
    transport = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{pwd}", f"a=fingerprint:sha-256 {colons(fingerprint)}"]
    transport += ["a=setup:passive", f"a=candidate:{candidate}", "a=end-of-candidates"]
    for media in offer.media:
        if not any(media is one for one in taken):
            lines += [f"m={media.kind} 0 {media.protocol} {media.formats[0]}", "c=IN IP4 0.0.0.0"]
            lines += [f"a=mid:{media.mid}", "a=inactive"]
        elif media is audio:
            lines += [*_audio(media, ssrc), *transport]
        else:
            lines += [*_data_channel(media), *transport]
    return "\r\n".join([*lines, ""])


def _audio(media: Media, ssrc: int) -> list[str]:
    return [
        f"m=audio 9 {media.protocol} {media.opus_payload_type}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp-mux",
        f"a=mid:{media.mid}",
        "a=sendrecv",
        f"a=rtpmap:{media.opus_payload_type} opus/48000/2",
        "a=msid:echo echo",
        f"a=ssrc:{ssrc} cname:echo",
    ]


def _data_channel(media: Media) -> list[str]:
    return [
        f"m=application 9 {media.protocol} webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{media.mid}",
        "a=sctp-port:5000",
        "a=max-message-size:65536",
    ]


def colons(fingerprint: bytes) -> str:
    """A fingerprint as `a=fingerprint` has it."""
    return fingerprint.hex(":").upper()


def _sections(text: str) -> Iterator[_Section]:
    """What stands before the first m= line, then each section."""
    if len(text) > TEXT_CHARS_MAX:
        raise SdpError(f"the description has more than {TEXT_CHARS_MAX} characters")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if lines[0] != "v=0":
        raise SdpError("the description does not begin with v=0")
    current, sections = _Section(), 0
    for number, line in enumerate(lines[1:], start=2):
        if len(line) < 2 or line[1] != "=" or not line[0].islower():
            raise SdpError(f"line {number} is not of the form x=value")
        if line[0] == "m":
            yield current
            current, sections = _Section(line[2:]), sections + 1
            if sections > MEDIA_MAX:
                raise SdpError(f"the description has more than {MEDIA_MAX} sections")
        elif line[0] == "a":
            name, _, value = line[2:].partition(":")
            current.attributes.setdefault(name, []).append(value)
    yield current


def _media(section: _Section) -> Media:
    match = _MEDIA.fullmatch(section.media_line)
    if match is None:
        raise SdpError("an m= line cannot be read")
    kind, port, protocol, formats = match[1], match[2], match[3], tuple(match[4].split())
    mid = section.first("mid")
    if mid is None or not _TOKEN.fullmatch(mid):
        raise SdpError(f"a section ({kind}) has no mid, or none that is a token")
    ssrcs = [_SSRC.fullmatch(value) for value in section.attributes.get("ssrc", [])]
    if None in ssrcs:
        raise SdpError("an ssrc is not a number")
    numbers = [_number(one[1], 0xFFFFFFFF, "an ssrc") for one in ssrcs if one]
    return Media(
        kind=kind,
        port=_number(port, 65535, "a section's port"),
        protocol=protocol,
        formats=formats,
        mid=mid,
        opus_payload_type=_opus(section, formats) if kind == "audio" else None,
        ssrcs=tuple(dict.fromkeys(numbers)),
        direction=next((one for one in DIRECTIONS if one in section.attributes), DIRECTIONS[0]),
        bundle_only="bundle-only" in section.attributes,
        attributes={name: tuple(values) for name, values in section.attributes.items()},
    )


def _opus(section: _Section, formats: tuple[str, ...]) -> int | None:
    for value in section.attributes.get("rtpmap", []):
        match = _OPUS.fullmatch(value)
        if match and match[1] in formats:
            return _number(match[1], 127, "a payload type")
    return None


def _matching(pattern: re.Pattern[str], name: str, *sections: _Section) -> str:
    """The value of the attribute in the first of the sections that has it."""
    value = next((v for s in sections if (v := s.first(name)) is not None), None)
    if value is None:
        raise SdpError(f"the description lacks {name}")
    if not pattern.fullmatch(value):
        raise SdpError(f"{name} is not one")  # never with its value: it is a secret
    return value


def _sha256(values: list[str]) -> bytes:
    for value in values:
        name, _, digits = value.partition(" ")
        if name.lower() != "sha-256":
            continue
        if not _FINGERPRINT.fullmatch(digits) or len(digits) != 3 * FINGERPRINT_BYTES - 1:
            raise SdpError("the sha-256 fingerprint is not 32 bytes in hexadecimal")
        return bytes.fromhex(digits.replace(":", ""))
    raise SdpError("the description lacks a sha-256 fingerprint")


def _setup(value: str | None) -> str:
    if value not in SETUPS:
        raise SdpError(f"the description lacks a setup that is one of {', '.join(SETUPS)}")
    return value


def _number(digits: str, most: int, what: str) -> int:
    if int(digits) > most:
        raise SdpError(f"{what} is over {most}")
    return int(digits)
