"""What a session of ours offers rtcd and answers it (RFC 8829): a data channel first, one voice later, a shared screen
where there is one, and whatever voices and screens of others rtcd adds. One transport for all (BUNDLE); candidates are
trickled and never stand in a description.

Text in, text out. No header extension is negotiated, and no feedback but who lacks a picture, so that packets travel as
they were sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from calls_doctor.errors import SdpError
from calls_doctor.wire import sdp
from calls_doctor.wire.rtcd_channel import MESSAGE_MAX_BYTES
from calls_doctor.wire.sdp import Description, Media

OPUS_PAYLOAD_TYPE = 111
"""rtcd's own: where a client offers another, rtcd's later offers of video may use that one too."""
VP8_PAYLOAD_TYPE = 96
SCTP_PORT = 5000
_DATA, _AUDIO, _VIDEO = "application", "audio", "video"
_VP8 = re.compile(r"(\d{1,3}) VP8/90000", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class OwnEnd:
    """What stands in each description of one session."""

    fragment: str
    password: str = field(repr=False)
    fingerprint: bytes
    """SHA-256 of our certificate."""
    ssrc: int
    """Of our voice."""
    stream: str
    """The name of its stream (a=msid)."""
    screen_ssrc: int = 0
    """Of our screen."""
    screen: str = ""
    """The name of its stream, which rtcd is told beforehand (SCREEN_ON)."""


@dataclass(frozen=True)
class _Section:
    """One section, as each description of the session repeats it."""

    kind: str
    direction: str = ""
    """"" for a data channel."""
    payload_type: int = OPUS_PAYLOAD_TYPE


class RtcdDescriptions:
    """One session's. Sections are kept in their order and never taken back (RFC 8829 section 5.2.2)."""

    def __init__(self, own: OwnEnd) -> None:
        self._own = own
        self._sections: dict[str, _Section] = {"0": _Section(_DATA)}
        """mid -> section; the data channel is there before the first offer."""
        self._own_mids: dict[str, str] = {}
        """Kind -> mid of what we send."""
        self._unanswered: list[str] = []
        """Kinds that stand in an offer of ours for the first time."""
        self._version = 0
        self._setup = "actpass"
        """Of answers: what the first answer of the far end has left for us."""
        self.shown_ssrcs: tuple[int, ...] = ()
        """Of the screens that the far end sends us, by its last offer."""

    @property
    def dtls_serves(self) -> bool:
        """True where the far end begins the DTLS handshake, as rtcd does."""
        return self._setup != "active"

    def offer(self, *, voice: bool = False, screen: bool = False) -> str:
        """All that there is; with `voice` and `screen` our own too."""
        for wanted, kind, section in (
            (voice, _AUDIO, _Section(_AUDIO, "sendrecv")),
            (screen, _VIDEO, _Section(_VIDEO, "sendonly", VP8_PAYLOAD_TYPE)),
        ):
            if wanted and kind not in self._own_mids:
                mid = self._own_mids[kind] = _free_mid(self._sections)
                self._sections[mid] = section
                self._unanswered.append(kind)
        return self._written("actpass")

    def rollback(self) -> None:
        """Our last offer was never answered, and one of the far end's is to be: what was new in it is no more."""
        for kind in self._unanswered:
            self._sections.pop(self._own_mids.pop(kind), None)
        self._unanswered.clear()

    def answered(self, text: str) -> Description:
        """The far end's answer. Raises SdpError where it is none to an offer of ours."""
        answer = sdp.parse(text)
        if answer.mids != tuple(self._sections):
            raise SdpError("the answer has other sections than the offer")
        if answer.setup == "actpass" or all(media.refused for media in answer.media):
            raise SdpError("the answer takes nothing of what was offered")
        self._setup = "passive" if answer.setup == "active" else "active"
        self._unanswered.clear()
        return answer

    def answer(self, text: str) -> str:
        """Our answer to an offer of the far end's: voices and VP8 are taken. Raises SdpError."""
        offer = sdp.parse(text)
        if offer.mids[: len(self._sections)] != tuple(self._sections):
            raise SdpError("the offer leaves out what was there before")
        for media in offer.media:
            self._sections[media.mid] = self._taken(media)
        shown = [one for one in offer.media if one.kind == _VIDEO and self._sections[one.mid].direction == "recvonly"]
        self.shown_ssrcs = tuple(ssrc for one in shown for ssrc in one.ssrcs)
        return self._written(self._setup)

    def _taken(self, media: Media) -> _Section:
        if media.kind == _DATA:
            return _Section(_DATA)
        payload_type = media.opus_payload_type if media.kind == _AUDIO else _vp8(media)
        if payload_type is None or media.refused:
            return _Section(media.kind, "refused")
        sends = media.mid == self._own_mids.get(media.kind) and media.direction in ("sendrecv", "recvonly")
        receives = media.direction in ("sendrecv", "sendonly")
        return _Section(media.kind, _DIRECTION_OF[sends, receives], payload_type)

    def _written(self, setup: str) -> str:
        self._version += 1
        lines = ["v=0", f"o=- 1 {self._version} IN IP4 0.0.0.0", "s=-", "t=0 0"]
        lines.append("a=group:BUNDLE " + " ".join(m for m, s in self._sections.items() if s.direction != "refused"))
        lines.append("a=msid-semantic:WMS *")
        own = self._own
        transport = [f"a=ice-ufrag:{own.fragment}", f"a=ice-pwd:{own.password}", "a=ice-options:trickle"]
        transport += [f"a=fingerprint:sha-256 {sdp.colons(own.fingerprint)}", f"a=setup:{setup}"]
        for mid, section in self._sections.items():
            lines += [*self._section(mid, section), *(transport if section.direction != "refused" else ())]
        return "\r\n".join([*lines, ""])

    def _section(self, mid: str, section: _Section) -> list[str]:
        where = ["c=IN IP4 0.0.0.0", f"a=mid:{mid}"]
        if section.direction == "refused":
            return [f"m={section.kind} 0 UDP/TLS/RTP/SAVPF {section.payload_type}", *where, "a=inactive"]
        if section.kind == _DATA:
            channel = [f"a=sctp-port:{SCTP_PORT}", f"a=max-message-size:{MESSAGE_MAX_BYTES}"]
            return ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", *where, *channel]
        number, own = section.payload_type, self._own
        lines = [f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {number}", *where, "a=rtcp-mux", f"a={section.direction}"]
        if section.kind == _VIDEO:
            lines += [f"a=rtpmap:{number} VP8/90000", f"a=rtcp-fb:{number} nack", f"a=rtcp-fb:{number} nack pli"]
            stream, track, ssrc = own.screen, "screen", own.screen_ssrc
        else:
            lines += [f"a=rtpmap:{number} opus/48000/2"]
            stream, track, ssrc = own.stream, "voice", own.ssrc
        if section.direction in ("sendrecv", "sendonly"):
            lines += [f"a=msid:{stream} {track}", f"a=ssrc:{ssrc} cname:{stream}"]
        return lines


_DIRECTION_OF = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}
"""Whether we send, and whether we receive."""


def _free_mid(taken: dict[str, _Section]) -> str:
    return next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)


def _vp8(media: Media) -> int | None:
    """The payload type of VP8 in a section of video; None where it has none."""
    matches = (_VP8.fullmatch(value) for value in media.attributes.get("rtpmap", ()) if media.kind == _VIDEO)
    return next((int(one[1]) for one in matches if one and one[1] in media.formats), None)
