"""The server's side of a session's descriptions, as rtcd writes them: an answer to each offer, and offers of its own in
which every track that is forwarded has a section of its own.

A section belongs to the transport of the first (BUNDLE). The answerer's numbers are the offerer's: payload types and
header extensions of an offer are kept. Of feedback only what the stand-in heeds is agreed on: key frames are asked for,
video is sent again and nobody's rate is steered. Text in, text out; `random` gives what is drawn.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field, replace

from calls_doctor.errors import SdpError
from calls_doctor.wire import sdp
from calls_doctor.wire.sdp import Candidate, Description, Media

SECTIONS_MAX = sdp.MEDIA_MAX
MESSAGE_MAX_BYTES = 65536
"""Of the data channel; rtcd says a gigabyte, and sends no message beyond what a client says."""
_RTPMAP = re.compile(r"([0-9]{1,3}) ([A-Za-z0-9/.-]{1,64})", re.ASCII)
_EXTMAP = re.compile(r"([0-9]{1,2})(?:/[a-z]+)? ([!-~]{1,255})", re.ASCII)
_AUDIO_LEVEL, MID_EXTENSION = "urn:ietf:params:rtp-hdrext:ssrc-audio-level", "urn:ietf:params:rtp-hdrext:sdes:mid"
_EXTENSIONS = {"audio": ((1, _AUDIO_LEVEL),), "video": ((1, MID_EXTENSION),)}
_FEEDBACK = ("nack", "nack pli", "ccm fir")
_SENDS, _RECEIVES = ("sendrecv", "sendonly"), ("sendrecv", "recvonly")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_STREAM_CHARS_MAX = 255


@dataclass(frozen=True)
class Codec:
    """One payload type of a section."""

    payload_type: int
    name: str
    """"opus/48000/2"."""
    parameters: str = ""
    """Of `a=fmtp`."""
    feedback: tuple[str, ...] = ()

    def is_of(self, name: str) -> bool:
        """True for the codec of this name."""
        return self.name.lower() == name.lower()


OPUS, VP8, AV1 = "opus/48000/2", "VP8/90000", "AV1/90000"
_CODECS = {
    "audio": (Codec(111, OPUS, "minptime=10;useinbandfec=1"),),
    "video": (Codec(96, VP8, feedback=_FEEDBACK), Codec(45, AV1, feedback=_FEEDBACK)),
}
"""What the server's own sections offer where the client has not said how it wants them."""


@dataclass(frozen=True)
class SentTrack:
    """A track on its way to one receiver."""

    name: str
    """TYPE_SESSION_RANDOM; clients cut it at "_"."""
    publisher: str
    """The session that it comes from: the stream's name, and CNAME."""
    codec: str
    """"opus/48000/2"."""
    ssrc: int

    @property
    def kind(self) -> str:
        """ "audio" or "video"."""
        return "audio" if self.codec == OPUS else "video"

    @property
    def type(self) -> str:
        """ "voice", "screen", "screen-audio" or "video"."""
        return self.name.partition("_")[0]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section as both ends have agreed on it."""

    kind: str
    protocol: str
    mid: str
    refused: bool = False
    codecs: tuple[Codec, ...] = ()
    extensions: tuple[tuple[int, str], ...] = ()
    client_sends: bool = False
    client_receives: bool = False
    stream: str = ""
    """The name of the client's stream (a=msid)."""
    ssrcs: tuple[int, ...] = ()
    """Of the client's."""
    track: SentTrack | None = None
    """What the server sends there."""
    has_sent: bool = False
    """By the last description it does: only a section where it does not can take up another track."""

    def payload_type(self, codec: str) -> int | None:
        """Of the codec, where the section has it."""
        return next((one.payload_type for one in self.codecs if one.is_of(codec)), None)

    def extension(self, uri: str) -> int | None:
        """The number of a header extension, where the section has it."""
        return next((number for number, one in self.extensions if one == uri), None)


@dataclass(frozen=True, kw_only=True)
class LocalTransport:
    """What the server says of its own end."""

    ufrag: str
    pwd: str = field(repr=False)
    fingerprint: bytes
    candidates: tuple[Candidate, ...]
    """As its sockets have them; in the order in which they are told."""


class ServerDescriptions:
    """One session's, from its first offer on. `origin` is a random number."""

    def __init__(self, local: LocalTransport, origin: int) -> None:
        self._local, self._origin, self._version = local, origin, 0
        self._is_told = False
        """Where it is reached under these names: the first answer leaves that to trickled candidates."""
        self.sections: tuple[Section, ...] = ()
        self._setup = "active"

    def restart(self, local: LocalTransport) -> None:
        """From now on under other names (RFC 8445 section 9)."""
        self._local, self._is_told = local, False

    def take_offer(self, offer: Description) -> None:
        """Raises SdpError where it does not continue what was agreed on; then nothing is changed."""
        sections = list(self.sections)
        if len(offer.media) < len(sections):
            raise SdpError("an offer has fewer sections than before")
        for index, media in enumerate(offer.media):
            old = sections[index] if index < len(sections) else None
            if old is not None and not old.refused and (media.mid, media.kind) != (old.mid, old.kind):
                raise SdpError("an offer has another section where one was agreed on")
            section = _section(media, old)
            sections[index : index + 1] = [section]
        if all(one.refused for one in sections):
            raise SdpError("an offer has nothing that can be taken")
        self.sections = tuple(sections)
        self._setup = "passive" if offer.setup == "active" else "active"

    def take_answer(self, answer: Description) -> None:
        """Raises SdpError where it is not one to the last offer; then nothing is changed."""
        if [(m.mid, m.kind) for m in answer.media] != [(one.mid, one.kind) for one in self.sections]:
            raise SdpError("an answer has other sections than its offer")
        self.sections = tuple(
            _answered(section, media) for section, media in zip(self.sections, answer.media, strict=True)
        )

    def place(self, track: SentTrack) -> None:
        """Finds a section for the track: one of its kind in which nothing is sent, else a new one. Raises SdpError
        where there is no room."""
        for index, section in enumerate(self.sections):
            is_free = not section.refused and section.track is None and not section.has_sent
            if is_free and section.kind == track.kind and section.payload_type(track.codec) is not None:
                self._replace(index, track=track)
                return
        if len(self.sections) >= SECTIONS_MAX:
            raise SdpError("a session has no room for another section")
        alike = next((one for one in self.sections if one.kind == track.kind and not one.refused), None)
        if alike is None or alike.payload_type(track.codec) is None:
            alike = self._unlike(track.kind)
        section = Section(
            kind=track.kind, protocol="UDP/TLS/RTP/SAVPF", mid=self._new_mid(), codecs=alike.codecs, track=track,
            extensions=alike.extensions,
        )  # fmt: skip
        self.sections = (*self.sections, section)

    def withdraw(self, track: SentTrack) -> bool:
        """Takes the track out of its section; False where it is in none."""
        for index, section in enumerate(self.sections):
            if section.track == track:
                self._replace(index, track=None)
                return True
        return False

    def answer(self) -> str:
        """To the last offer."""
        lines = []
        for section in self.sections:
            sends = section.track is not None and section.client_receives
            lines.append((section, _direction(sends, section.client_sends), self._setup))
        inline, self._is_told = self._is_told, True
        self.sections = tuple(
            replace(one, has_sent=one.track is not None and one.client_receives) for one in self.sections
        )
        return self._described(lines, inline=inline)

    def offer(self) -> str:
        """Of all sections as they are to be."""
        return self._described(
            [(one, _direction(one.track is not None, receives=True), "actpass") for one in self.sections], inline=True
        )

    def _described(self, sections: list[tuple[Section, str, str]], *, inline: bool) -> str:
        self._version += 1
        local = self._local
        mids = " ".join(section.mid for section, _, _ in sections if not section.refused)
        lines = [
            "v=0", f"o=- {self._origin} {self._version} IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite",
            "a=msid-semantic:WMS *", f"a=fingerprint:sha-256 {local.fingerprint.hex(':').upper()}",
            f"a=group:BUNDLE {mids}",
        ]  # fmt: skip
        candidates = [f"a=candidate:{line}" for line in self.inline_candidates()] if inline else []
        for section, direction, setup in sections:
            if section.refused:
                lines += [f"m={section.kind} 0 {section.protocol} 0", "c=IN IP4 0.0.0.0"]
                lines += [f"a=mid:{section.mid}", "a=inactive"]
                continue
            credentials = [f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.pwd}"]
            if section.kind == "application":
                lines += _data_channel(section, setup, credentials)
            else:
                lines += _media(section, direction, setup, credentials)
            if candidates:
                lines += [*candidates, "a=end-of-candidates"]
                candidates = []
        return "\r\n".join([*lines, ""])

    def inline_candidates(self) -> list[str]:
        """As later descriptions have them: each twice, for RTP and RTCP, although both take one port."""
        return [
            f"{replace(one, component=component)} ufrag {self._local.ufrag}"
            for one in self._local.candidates
            for component in (1, 2)
        ]

    def _replace(self, index: int, *, track: SentTrack | None) -> None:
        sections = list(self.sections)
        sections[index] = replace(sections[index], track=track)
        self.sections = tuple(sections)

    def _unlike(self, kind: str) -> Section:
        """A section of ours with numbers of its own: in one transport no number means two things (RFC 8843 section 9.1;
        rtcd heeds that not)."""
        taken = {codec.payload_type for one in self.sections if one.kind != kind for codec in one.codecs}
        numbers = {uri: number for one in self.sections for number, uri in one.extensions}
        codecs: list[Codec] = []
        for codec in _CODECS[kind]:
            number = next(one for one in (codec.payload_type, *range(96, 128), *range(35, 64)) if one not in taken)
            taken.add(number)
            codecs.append(replace(codec, payload_type=number))
        extensions: list[tuple[int, str]] = []
        for wanted, uri in _EXTENSIONS[kind]:
            free = next(one for one in (wanted, *range(1, 15)) if one not in numbers.values())
            extensions.append((numbers.setdefault(uri, free), uri))
        return Section(kind=kind, protocol="", mid="", codecs=tuple(codecs), extensions=tuple(extensions))

    def _new_mid(self) -> str:
        numbers = [int(one.mid) for one in self.sections if one.mid.isascii() and one.mid.isdigit()]
        return str(max(numbers, default=-1) + 1)


def host_candidate(transport: str, address: str, port: int) -> Candidate:
    """A candidate as rtcd makes them: its foundation is a checksum, one for each address and transport."""
    family = "6" if ":" in address else "4"
    foundation = str(zlib.crc32(f"host{address}{transport}{family}".encode()))
    if transport == "tcp":
        return Candidate(
            foundation=foundation, transport="tcp", address=address, port=port, priority=sdp.TCP_PRIORITY,
            tcp_type="passive",
        )  # fmt: skip
    return Candidate(foundation=foundation, transport="udp", address=address, port=port)


def _section(media: Media, old: Section | None) -> Section:
    """A section of an offer, as it is answered; what the server sends there stays."""
    direction = next((one for one in _DIRECTIONS if one in media.attributes), "sendrecv")
    codecs = _codecs(media)
    return Section(
        kind=media.kind,
        protocol=media.protocol,
        mid=media.mid,
        refused=media.refused or not (codecs or media.kind == "application"),
        codecs=codecs,
        extensions=_extensions(media),
        client_sends=direction in _SENDS,
        client_receives=direction in _RECEIVES,
        stream=_stream(media),
        ssrcs=media.ssrcs,
        track=old.track if old and not media.refused else None,
        has_sent=old.has_sent if old and not media.refused else False,
    )


def _answered(section: Section, media: Media) -> Section:
    """A section of an offer of the server's, as the answer leaves it; its numbers are the offer's."""
    if media.refused or section.refused or section.kind == "application":
        return replace(
            section, refused=section.refused or media.refused, track=None if media.refused else section.track
        )
    direction = next((one for one in _DIRECTIONS if one in media.attributes), "sendrecv")
    agreed = tuple(one for one in section.codecs if str(one.payload_type) in media.formats)
    return replace(
        section,
        codecs=agreed or section.codecs,
        client_sends=direction in _SENDS,
        client_receives=direction in _RECEIVES,
        stream=_stream(media),
        ssrcs=media.ssrcs,
        has_sent=section.track is not None and direction in _RECEIVES,
    )


def _codecs(media: Media) -> tuple[Codec, ...]:
    """Those of ours that the section offers, in its order and with its numbers."""
    known = [one.name for one in _CODECS.get(media.kind, ())]
    found: list[Codec] = []
    for value in media.attributes.get("rtpmap", ()):
        match = _RTPMAP.fullmatch(value)
        if not match or match[1] not in media.formats or int(match[1]) > 127:
            continue
        name = next((one for one in known if one.lower() == match[2].lower()), None)
        if name is not None:
            number = match[1]
            feedback = tuple(one for one in _FEEDBACK if {f"{number} {one}", f"* {one}"} & _values(media, "rtcp-fb"))
            found.append(Codec(int(number), name, _parameters(media, number), feedback))
    return tuple(found)


def _values(media: Media, name: str) -> set[str]:
    return set(media.attributes.get(name, ()))


def _parameters(media: Media, number: str) -> str:
    """Printable: they go back into the answer."""
    values = (
        one.removeprefix(f"{number} ") for one in media.attributes.get("fmtp", ()) if one.startswith(f"{number} ")
    )
    return next((one for one in values if one.isascii() and one.isprintable() and len(one) < 256), "")


def _extensions(media: Media) -> tuple[tuple[int, str], ...]:
    known = {uri for _, uri in _EXTENSIONS.get(media.kind, ())}
    matches = (_EXTMAP.fullmatch(value) for value in media.attributes.get("extmap", ()))
    return tuple(
        (int(match[1]), match[2]) for match in matches if match and match[2] in known and 0 < int(match[1]) < 15
    )


def _stream(media: Media) -> str:
    """The name of the client's stream; "" for none ("-", RFC 8830) and for one too long."""
    values = media.attributes.get("msid", ())
    stream = values[0].split(" ")[0] if values else ""
    return "" if stream == "-" or len(stream) > _STREAM_CHARS_MAX else stream


def _direction(sends: bool, receives: bool) -> str:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _data_channel(section: Section, setup: str, credentials: list[str]) -> list[str]:
    return [
        f"m=application 9 {section.protocol} webrtc-datachannel", "c=IN IP4 0.0.0.0", f"a=setup:{setup}",
        f"a=mid:{section.mid}", "a=sendrecv", "a=sctp-port:5000",
        f"a=max-message-size:{MESSAGE_MAX_BYTES}", *credentials,
    ]  # fmt: skip


def _media(section: Section, direction: str, setup: str, credentials: list[str]) -> list[str]:
    formats = " ".join(str(one.payload_type) for one in section.codecs)
    lines = [
        f"m={section.kind} 9 {section.protocol} {formats}", "c=IN IP4 0.0.0.0", f"a=setup:{setup}",
        f"a=mid:{section.mid}", *credentials, "a=rtcp-mux", "a=rtcp-rsize",
    ]  # fmt: skip
    for codec in section.codecs:
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}")
        lines += [f"a=fmtp:{codec.payload_type} {codec.parameters}"] if codec.parameters else []
        lines += [f"a=rtcp-fb:{codec.payload_type} {one}" for one in codec.feedback]
    lines += [f"a=extmap:{number} {uri}" for number, uri in section.extensions]
    track = section.track
    if track is not None and direction in _SENDS:
        stream = f"{track.publisher} {track.name}"
        lines += [
            f"a=ssrc:{track.ssrc} cname:{track.publisher}", f"a=ssrc:{track.ssrc} msid:{stream}",
            f"a=ssrc:{track.ssrc} mslabel:{track.publisher}", f"a=ssrc:{track.ssrc} label:{track.name}",
            f"a=msid:{stream}",
        ]  # fmt: skip
    return [*lines, f"a={direction}"]
