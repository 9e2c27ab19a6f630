"""Session descriptions: what real programs wrote is read, what lacks something is refused with a sentence, and the
answer is one that aiortc takes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aioice.ice
import pytest
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import SessionDescription
from av import AudioFrame

from calls_doctor.errors import SdpError
from calls_doctor.model.flow import Transport
from calls_doctor.wire import sdp
from calls_doctor.wire.connection import DtlsConnected, IceConnected, SessionSettings
from calls_doctor.wire.direct import ECHO_SSRC
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceRole
from tests.servers.lone_connection import lone_connection

DATA = Path(__file__).parent.parent / "data" / "sdp"
UFRAG, PWD, FINGERPRINT = "u" * 60, "p" * 43, bytes(range(32))
CERTIFICATE = Certificate.generate()
UDP = sdp.host_candidate(Transport.UDP, "192.0.2.9", 8443)


def read(name: str) -> str:
    return (DATA / f"{name}.sdp").read_bytes().decode()


def answer(offer: str, candidate: sdp.Candidate = UDP) -> str:
    return sdp.answer(sdp.parse(offer), candidate, UFRAG, PWD, FINGERPRINT, ECHO_SSRC)


@pytest.mark.parametrize(
    ("name", "mids", "opus", "setup", "ufrag"),
    [
        ("aiortc-offer-audio", ("0", "1"), 96, "actpass", "XJ2A"),
        ("aiortc-offer-video", ("0", "1", "2"), 111, "actpass", "wvhc"),
        ("pion-offer-data", ("0",), None, "actpass", "QbtmGiQJFXZLYkIs"),
        ("rtcd-answer-audio", ("0", "1"), 96, "active", "FbZEEtZPuRSjBxVT"),
        ("rtcd-answer-data", ("0",), None, "active", "HUrsjOogctXQslqe"),
        ("rtcd-offer-added-audio", ("0", "1"), 111, "actpass", "aRuPbKKbYZEUYYqP"),
    ],
)
def test_what_real_programs_wrote_is_read(
    name: str, mids: tuple[str, ...], opus: int | None, setup: str, ufrag: str
) -> None:
    read_one = sdp.parse(read(name))
    assert (read_one.mids, read_one.opus_payload_type, read_one.setup, read_one.ice_ufrag) == (mids, opus, setup, ufrag)


@pytest.mark.parametrize("name", [path.stem for path in sorted(DATA.glob("*.sdp"))])
def test_aiortcs_parser_reads_the_same(name: str) -> None:
    ours, theirs = sdp.parse(read(name)), SessionDescription.parse(read(name))
    first = theirs.media[0]
    assert ours.mids == tuple(media.rtp.muxId for media in theirs.media)
    assert first.ice is not None
    assert first.ice.usernameFragment == ours.ice_ufrag
    assert first.ice.password == ours.ice_pwd
    assert first.dtls is not None
    sha256 = next(one.value for one in first.dtls.fingerprints if one.algorithm == "sha-256")
    assert sha256 == ours.fingerprint.hex(":").upper()
    assert [(c.ip, c.port, c.protocol, c.tcpType or "") for c in first.ice_candidates] == [
        (c.address, c.port, c.transport, c.tcp_type) for c in ours.candidates
    ]
    assert [tuple(s.ssrc for s in media.ssrc) for media in theirs.media] == [media.ssrcs for media in ours.media]


def test_the_sha_256_fingerprint_is_taken_from_among_others() -> None:
    assert sdp.parse(read("aiortc-offer-audio")).fingerprint.hex().startswith("f67ef1cf2290d7cf")


def test_rtcds_candidates_over_tcp_are_passive() -> None:
    candidates = sdp.parse(read("rtcd-offer-added-audio")).candidates
    assert {(c.address, c.port, c.transport, c.tcp_type) for c in candidates} == {
        ("127.0.0.1", 8443, "udp", ""),
        ("10.77.0.1", 8443, "udp", ""),
        ("127.0.0.1", 8443, "tcp", "passive"),
        ("10.77.0.1", 8443, "tcp", "passive"),
    }


def test_an_announced_ssrc_counts_once() -> None:
    assert sdp.parse(read("rtcd-offer-added-audio")).media[1].ssrcs == (3769486033,)


def test_a_section_says_which_way_it_goes_and_both_where_it_does_not() -> None:
    assert [media.direction for media in sdp.parse(read("rtcd-answer-audio")).media] == ["recvonly", "sendrecv"]
    assert sdp.parse(read("aiortc-offer-audio").replace("a=sendrecv", "a=x-none")).media[0].direction == "sendrecv"


def test_a_browsers_hidden_address_is_read_as_a_name() -> None:
    candidate = sdp.parse_candidate(
        "candidate:842163049 1 udp 2113937151 1fe3d1c4-8f8a-4a5c-9a0e-0f3e2e1d7c11.local 51317 typ host generation 0 "
        "network-cost 999"
    )
    assert (candidate.address, candidate.port) == ("1fe3d1c4-8f8a-4a5c-9a0e-0f3e2e1d7c11.local", 51317)


@pytest.mark.parametrize(
    "candidate", [UDP, sdp.host_candidate(Transport.TCP, "2001:db8::9", 443)], ids=["udp", "tcp over IPv6"]
)
def test_a_candidate_that_was_written_is_read_back(candidate: sdp.Candidate) -> None:
    assert sdp.parse_candidate(str(candidate)) == candidate


def test_no_password_stands_in_a_repr() -> None:
    read_one = sdp.parse(read("aiortc-offer-audio"))
    assert read_one.ice_pwd == "rKiNd0FAlfSOa5lS5aFLiF"
    assert read_one.ice_pwd not in repr(read_one)


@pytest.mark.parametrize(
    ("find", "put", "sentence"),
    [
        ("v=0", "v=1", "does not begin with v=0"),
        ("s=-", "s", "line 3 is not of the form"),
        ("m=audio 37000", "m=audio", "m= line"),
        ("m=audio 37000", "m=audio 70000", "port is over 65535"),
        ("a=mid:0", "a=mid:", "no mid"),
        ("a=mid:1", "a=mid:0", "one mid"),
        ("a=ice-ufrag:XJ2A", "a=ice-ufrag:X", "ice-ufrag is not one"),
        ("a=ice-pwd:rKiNd0FAlfSOa5lS5aFLiF", "a=ice-pwd:short", "ice-pwd is not one"),
        ("a=ice-ufrag:XJ2A", "a=x", "lacks ice-ufrag"),
        ("a=fingerprint:sha-256 F6:", "a=fingerprint:sha-256 ", "not 32 bytes"),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1", "lacks a sha-256"),
        ("a=setup:actpass", "a=setup:holdconn", "lacks a setup"),
        ("a=ssrc:1573828110 ", "a=ssrc:x ", "ssrc is not a number"),
        ("a=ssrc:1573828110 ", "a=ssrc:4294967296 ", "ssrc is over"),
        (" udp 2130706431 10.77.0.2 37000", " udp 2130706431 10.77.0.2", "candidate cannot be read"),
        ("a=rtpmap:96 opus", "a=rtpmap:96 OPUS", None),
        ("\r\n", "\n", None),
    ],
)
def test_what_lacks_or_garbles_something_is_refused_with_a_sentence(find: str, put: str, sentence: str | None) -> None:
    text = read("aiortc-offer-audio")
    changed = text.replace(find, put)
    assert changed != text
    if sentence is None:
        assert sdp.parse(changed) == sdp.parse(text)
        return
    with pytest.raises(SdpError, match=sentence) as caught:
        sdp.parse(changed)
    assert "rKiNd0FAlfSOa5lS5aFLiF" not in str(caught.value)


def test_sizes_are_bounded() -> None:
    text = read("pion-offer-data")
    with pytest.raises(SdpError, match="characters"):
        sdp.parse(text + "a=x\r\n" * 20000)
    with pytest.raises(SdpError, match="sections"):
        sdp.parse(text + "".join(f"m=audio 9 RTP 0\r\na=mid:{n}\r\n" for n in range(7, 80)))


def test_the_answer_takes_one_opus_section_and_the_data_channel_and_refuses_the_rest() -> None:
    text = answer(read("aiortc-offer-video"))
    written = SessionDescription.parse(text)
    assert [(m.kind, m.port, m.rtp.muxId) for m in written.media] == [
        ("application", 9, "0"),
        ("audio", 9, "1"),
        ("video", 0, "2"),
    ]
    assert [group.items for group in written.group] == [["0", "1"]]


def test_the_answer_says_what_aiortc_needs() -> None:
    written = SessionDescription.parse(answer(read("aiortc-offer-audio")))
    audio = written.media[0]
    assert [(c.payloadType, c.mimeType) for c in audio.rtp.codecs] == [(96, "audio/opus")]
    assert audio.direction == "sendrecv"
    assert [s.ssrc for s in audio.ssrc] == [ECHO_SSRC]
    assert audio.rtp.headerExtensions == []
    assert audio.ice_candidates_complete
    assert [(c.ip, c.port, c.type) for c in audio.ice_candidates] == [("192.0.2.9", 8443, "host")]
    assert audio.dtls is not None
    assert audio.dtls.role == "server"
    assert audio.ice is not None
    assert audio.ice.iceLite


def test_our_own_parser_reads_the_answer() -> None:
    tcp = sdp.host_candidate(Transport.TCP, "192.0.2.9", 8443)
    written = sdp.parse(answer(read("aiortc-offer-audio"), tcp))
    assert written.ice_lite
    assert (written.ice_ufrag, written.ice_pwd, written.fingerprint) == (UFRAG, PWD, FINGERPRINT)
    assert written.candidates == (tcp,)
    assert written.media[0].ssrcs == (ECHO_SSRC,)


def test_a_section_that_is_bundle_only_is_no_refused_one() -> None:
    # RFC 9143 section 6: with policy max-bundle a browser offers port 0 in every section but the first.
    text = read("aiortc-offer-audio").replace("m=application 53692", "m=application 0")
    refused = sdp.parse(answer(text))
    bundled = sdp.parse(answer(text.replace("a=mid:1", "a=bundle-only\r\na=mid:1")))
    assert [m.port for m in refused.media] == [9, 0]
    assert [m.port for m in bundled.media] == [9, 9]


def test_an_offer_with_nothing_to_take_is_refused() -> None:
    text = read("aiortc-offer-audio").replace("opus", "speex").replace("m=application 53692", "m=application 0")
    with pytest.raises(SdpError, match="neither"):
        answer(text)


@pytest.fixture
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioice leaves 127.0.0.1 out and takes every other address: the other way round here."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])


@pytest.mark.usefixtures("loopback_only")
@pytest.mark.parametrize("data_channel", [False, True], ids=["audio", "audio and data"])
async def test_a_real_peer_connection_takes_the_answer_and_its_call_is_echoed(data_channel: bool) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTrack(AudioStreamTrack())
        if data_channel:
            peer.createDataChannel("books")
        await peer.setLocalDescription(await peer.createOffer())
        async with lone_connection(settings_for(sdp.parse(peer.localDescription.sdp))) as server:
            (transceiver,) = peer.getTransceivers()
            candidate = sdp.host_candidate(Transport.UDP, *server.address)
            text = sdp.answer(
                sdp.parse(peer.localDescription.sdp), candidate, UFRAG, PWD, CERTIFICATE.fingerprint, ECHO_SSRC
            )
            await peer.setRemoteDescription(RTCSessionDescription(text, "answer"))
            frame = await asyncio.wait_for(transceiver.receiver.track.recv(), 5)  # decoded by a stack that is not ours
            assert isinstance(frame, AudioFrame)
            assert (peer.signalingState, peer.connectionState) == ("stable", "connected")
            assert transceiver.currentDirection == "sendrecv"
            assert [type(event) for event in server.events[:2]] == [IceConnected, DtlsConnected]
            books = server.connection.books
            assert books.streams[0].received > 0
            assert sum(path.rtp_out for path in books.paths) == books.sent_rtp > 0
    finally:
        await peer.close()


def settings_for(offer: sdp.Description) -> SessionSettings:
    """The stand-in's end of a call with whoever offers."""
    return SessionSettings(
        session="interop",
        ice_role=IceRole.LITE,
        dtls_role=DtlsRole.SERVER,
        certificate=CERTIFICATE,
        remote_fingerprint=offer.fingerprint,
        local_fragment=UFRAG,
        local_password=PWD,
        remote_fragment=offer.ice_ufrag,
        remote_password=offer.ice_pwd,
        ssrc=ECHO_SSRC,
    )
