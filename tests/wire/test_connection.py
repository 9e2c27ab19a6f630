"""Whole calls between two connections, with a made-up clock and no socket: what arrives, what is believed, and that
both ends' books say what the network carried."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest

from calls_doctor.model.books import RunBooks, SessionBooks
from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire import books as wire_books
from calls_doctor.wire import documents, ice, rtp, stun
from calls_doctor.wire.connection import (
    Closed,
    Connection,
    DataReceived,
    DtlsConnected,
    Event,
    Failed,
    IceConnected,
    RtcpReceived,
    RtpReceived,
    SessionSettings,
)
from calls_doctor.wire.documents import Document
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.framing import PacketKind, packet_kind
from calls_doctor.wire.ice import Attributes, IceRole
from calls_doctor.wire.pages import PageReader
from calls_doctor.wire.rtp import RtpPacket
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from tests.servers.made_up_network import TO_FAR, TO_NEAR, MadeUpNetwork, Weather

NEAR_CERTIFICATE, FAR_CERTIFICATE = Certificate.generate(), Certificate.generate()
NEAR_PASSWORD, FAR_PASSWORD = "secret/of/the/near/end", "secret/of/the/far/end/" * 2
NEAR_SSRC, FAR_SSRC = 0x1111, 0x2222
PACKET_S = 0.02
"""Fifty packets a second."""


def way(port: int, transport: Transport = Transport.UDP) -> tuple[Path, Path]:
    """A path as the near end sees it, and as the far end does behind a NAT."""
    server = ("198.51.100.2", 8443)
    return (
        Path(transport, ("10.0.0.1", port), server),
        Path(transport, server, ("192.0.2.1", 40000 + port)),
    )


FIRST, SECOND, OVER_TCP = way(1), way(2), way(3, Transport.TCP)

NEAR = SessionSettings(
    session="runurunurunurunur",
    ice_role=IceRole.CONTROLLING,
    dtls_role=DtlsRole.CLIENT,
    certificate=NEAR_CERTIFICATE,
    remote_fingerprint=FAR_CERTIFICATE.fingerprint,
    local_fragment="near",
    local_password=NEAR_PASSWORD,
    remote_fragment="f" * 60,
    remote_password=FAR_PASSWORD,
    ssrc=NEAR_SSRC,
)
FAR = SessionSettings(
    session="runurunurunurunur",
    ice_role=IceRole.LITE,
    dtls_role=DtlsRole.SERVER,
    certificate=FAR_CERTIFICATE,
    remote_fingerprint=NEAR_CERTIFICATE.fingerprint,
    local_fragment="f" * 60,
    local_password=FAR_PASSWORD,
    remote_fragment="near",
    remote_password=NEAR_PASSWORD,
    ssrc=FAR_SSRC,
    leg="u",
)
SWAPPED = (replace(NEAR, dtls_role=DtlsRole.SERVER), replace(FAR, dtls_role=DtlsRole.CLIENT))


@dataclass
class Call:
    """Two ends and the network between; the far end echoes."""

    near: Connection
    far: Connection
    network: MadeUpNetwork
    sequence: int = 0

    def run(self, seconds: float) -> None:
        self.network.run(self.network.now + seconds)

    def connect(self) -> None:
        self.run(0.3)
        assert self.near.connected
        assert self.far.connected

    def talk(self, packets: int, path: Path | None = None) -> None:
        """The near end sends at voice rate."""
        for _ in range(packets):
            packet = RtpPacket(111, self.sequence & 0xFFFF, self.sequence * 960, NEAR_SSRC, b"voice" * 16)
            self.near.send_rtp(bytes(packet), self.network.now, path)
            self.sequence += 1
            self.run(PACKET_S)
        self.run(0.3)

    def told(self, end: str, kind: type[Event]) -> list[Event]:
        return [event for event in self.network.events[end] if isinstance(event, kind)]

    def sent_by_far(self, kind: PacketKind) -> list[Path]:
        """The near end's name for the paths by which the far end sent packets of the kind, in order."""
        return [
            path for where, path, packet in self.network.captured if where == TO_NEAR and packet_kind(packet) is kind
        ]


@dataclass(frozen=True)
class OneDocument:
    """A desk at which only the books are to be had, and nothing may be handed in."""

    books: bytes

    def document(self, document: Document, _nonces: Sequence[str]) -> bytes:
        return self.books if document is Document.BOOKS else b""

    def hand_in(self, document: Document, page: bytes) -> bytes:
        raise AssertionError(f"{len(page)} bytes of {document} are handed in")


def call(
    *ways: tuple[Path, Path],
    settings: tuple[SessionSettings, SessionSettings] = (NEAR, FAR),
    weather: Weather | None = None,
    seed: int = 0,
    echo: bool = True,
    snapshot: bytes = b"",
) -> Call:
    """A call over the ways, whose checks are on their way."""
    ways = ways or (FIRST,)
    near = Connection(settings[0], Random(seed).randbytes, 0.0)
    far = Connection(settings[1], Random(seed + 1).randbytes, 0.0, desk=OneDocument(snapshot))
    network = MadeUpNetwork(near, far, list(ways), weather or Weather(), seed)
    made = Call(near, far, network)

    def echoed(event: Event, now: float) -> None:
        if isinstance(event, RtpReceived):
            far.send_rtp(rtp.rewritten(event.packet, 111, FAR_SSRC), now, event.path)

    network.on_far_event = echoed if echo else None
    for near_path, _ in ways:
        near.add_path(near_path, 0.0)
    return made


@pytest.mark.parametrize("settings", [(NEAR, FAR), SWAPPED], ids=["DTLS client", "DTLS server"])
def test_a_whole_call(settings: tuple[SessionSettings, SessionSettings]) -> None:
    made = call(settings=settings)
    made.connect()
    made.talk(50)
    received = made.told(TO_FAR, RtpReceived)
    assert [rtp.parse_rtp(e.packet).sequence for e in received if isinstance(e, RtpReceived)] == list(range(50))
    assert len(made.told(TO_NEAR, RtpReceived)) == 50
    assert made.network.events[TO_NEAR][:2] == [IceConnected(FIRST[0], FIRST[1].remote), DtlsConnected()]
    assert made.network.events[TO_FAR][:2] == [IceConnected(FIRST[1], None), DtlsConnected()]
    assert (made.near.selected_path, made.far.selected_path) == FIRST
    assert made.near.stage == made.far.stage == "rtp"


def test_the_timelines_begin_with_the_first_packet() -> None:
    made = call()
    made.connect()
    made.talk(1)
    assert made.near.books.timeline == pytest.approx({"stun": 0.02, "ice": 0.02, "dtls": 0.06, "rtp": 0.32}, abs=1e-6)
    assert made.far.books.timeline == pytest.approx({"stun": 0.0, "ice": 0.0, "dtls": 0.04, "rtp": 0.30}, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_a_call_comes_about_on_a_bad_network(seed: int) -> None:
    # DTLS is spared: its retransmissions run on OpenSSL's real clock.
    weather = Weather(loss=0.3, duplication=0.3, jitter_s=0.1, spared=(PacketKind.DTLS,))
    made = call(weather=weather, seed=seed)
    made.run(stun.PROBE_DECIDED_S)
    made.talk(5)
    assert made.near.connected
    assert made.far.connected
    assert made.near.books.failure == made.far.books.failure == ""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("settings", [(NEAR, FAR), SWAPPED], ids=["DTLS client", "DTLS server"])
def test_the_books_say_what_the_network_carried(settings: tuple[SessionSettings, SessionSettings], seed: int) -> None:
    made = call(settings=settings, seed=seed)
    made.connect()
    made.network.weather = Weather(loss=0.1, duplication=0.05, jitter_s=0.05)
    made.talk(300)
    near, far = made.near.books, made.far.books
    for sender, receiver, direction in ((near, far, TO_FAR), (far, near, TO_NEAR)):
        carried = made.network.carried[direction]
        out, arrived = sender.paths[0], receiver.paths[0]
        assert (out.stun_out, out.dtls_out, out.rtp_out, out.rtcp_out) == tuple(
            carried.sent[kind] for kind in (PacketKind.STUN, PacketKind.DTLS, PacketKind.RTP, PacketKind.RTCP)
        )
        assert (arrived.dtls_in, arrived.rtp_in, arrived.rtcp_in) == tuple(
            carried.delivered[kind] for kind in (PacketKind.DTLS, PacketKind.RTP, PacketKind.RTCP)
        )
        assert out.bytes_out == carried.bytes_sent
        assert sender.sent_rtp == carried.sent[PacketKind.RTP]
        (stream,) = receiver.streams
        assert stream.received == carried.delivered[PacketKind.RTP] - carried.copies[PacketKind.RTP]
        assert stream.duplicated == carried.copies[PacketKind.RTP] > 0
        assert stream.reordered > 0
        assert stream.received < stream.expected <= 300  # what is lost on the way out is missing in the echo
    assert far.paths[0].stun_in == made.network.carried[TO_FAR].delivered[PacketKind.STUN]
    assert far.paths[0].bytes_in == made.network.carried[TO_FAR].bytes_delivered
    assert near.sent_rtp == 300


def test_a_call_over_tcp() -> None:
    made = call(OVER_TCP)
    made.connect()
    made.talk(10)
    assert [path.transport for path in made.far.books.paths] == ["tcp"]
    assert made.near.books.streams[0].received == 10


def test_a_lost_flight_heals_by_the_clients_timer() -> None:
    # One of the few tests in real time: the timer of the handshake is OpenSSL's own, one second.
    made = call()
    made.run(0.015)
    made.network.blocked.add((TO_NEAR, FIRST[0]))  # the answer to the check is on its way; the server's flight is lost
    made.run(0.1)
    made.network.blocked.clear()
    began = time.monotonic()
    while not (made.near.connected and made.far.connected) and time.monotonic() - began < 2.0:
        time.sleep(0.02)
        made.run(0.02)
    assert made.near.connected
    assert made.far.connected
    assert (made.near.books.dtls_retransmissions, made.far.books.dtls_retransmissions) == (1, 0)


def test_a_lite_dtls_server_sends_nothing_unasked() -> None:
    made = call()
    made.network.blocked.add((TO_NEAR, FIRST[0]))
    made.network.run(0.015)
    hello = stun_answered_client_hello(made)
    made.far.receive(hello, FIRST[1], made.network.now)
    first_flight = made.far.datagrams_to_send(made.network.now)
    assert first_flight
    assert sum(len(packet) for _, packet in first_flight) < 1200
    timer = made.far.next_timer()
    assert timer is not None
    assert timer > 29.0  # consent, and no retransmission


def stun_answered_client_hello(made: Call) -> bytes:
    """What a client sends once its check is answered, taken before the network has it."""
    answer = next(packet for direction, _, packet in made.network.captured if direction == TO_NEAR)
    made.near.receive(answer, FIRST[0], made.network.now)
    ((_, hello),) = made.near.datagrams_to_send(made.network.now)
    assert packet_kind(hello) is PacketKind.DTLS
    return hello


def test_a_late_nomination_moves_the_call() -> None:
    made = call(FIRST, SECOND)
    made.connect()
    made.talk(2)
    assert made.sent_by_far(PacketKind.RTP) == [FIRST[0]] * 2
    made.near.nominate(SECOND[0], made.network.now)
    made.run(0.1)
    assert (made.near.selected_path, made.far.selected_path) == SECOND
    made.talk(2)
    assert made.sent_by_far(PacketKind.RTP) == [FIRST[0]] * 2 + [SECOND[0]] * 2


def test_media_by_any_validated_path_is_taken_and_echoed_where_it_came_from() -> None:
    made = call(FIRST, SECOND)
    made.connect()
    made.talk(3, SECOND[0])
    assert made.far.selected_path == FIRST[1]
    assert made.sent_by_far(PacketKind.RTP) == [SECOND[0]] * 3
    assert {path.local[1]: path.rtp_in for path in made.near.books.paths} == {1: 0, 2: 3}


def test_reports_tell_each_end_what_the_other_received() -> None:
    made = call(weather=Weather(delay_s=0.025))
    made.connect()
    made.talk(60)
    reports = [event for event in made.told(TO_NEAR, RtcpReceived) if isinstance(event, RtcpReceived)]
    blocks = [block for event in reports for report in event.reports for block in report.blocks]
    assert {block.ssrc for block in blocks} == {NEAR_SSRC}
    assert blocks[-1].lost == 0
    assert made.near.rtt_s == pytest.approx(0.05, abs=0.002)
    assert made.far.rtt_s == pytest.approx(0.05, abs=0.002)


def test_a_call_of_a_third_of_a_second_has_reports_both_ways() -> None:
    made = call(weather=Weather(delay_s=0.001))
    made.run(0.01)
    made.talk(15)
    assert made.told(TO_NEAR, RtcpReceived)
    assert made.told(TO_FAR, RtcpReceived)
    assert made.near.rtt_s == pytest.approx(0.002, abs=0.001)


def test_before_any_report_the_round_trip_is_that_of_the_check() -> None:
    made = call()
    assert made.near.rtt_s is None
    made.connect()
    assert made.near.rtt_s == pytest.approx(0.02)
    assert made.far.rtt_s is None


def forged_check(password: str = "wrong" * 5, tid: int = 1) -> bytes:
    """A nominating check of the session, as one who does not know the password would make it."""
    listed: Attributes = [(stun.USERNAME, f"{'f' * 60}:near"), (stun.ICE_CONTROLLING, 1), (stun.USE_CANDIDATE, True)]
    message = Message(Method.BINDING, MessageClass.REQUEST, tid.to_bytes(12, "big"), listed)
    return message.encode(integrity_key=password.encode(), fingerprint=True)


def test_forged_stun_moves_nothing() -> None:
    made = call()
    made.connect()
    before = len(made.network.captured)
    made.network.inject(TO_FAR, SECOND[1], forged_check())
    made.network.inject(TO_FAR, FIRST[1], forged_check())
    made.network.inject(TO_NEAR, FIRST[0], forged_check())
    assert len(made.network.captured) == before
    assert (made.near.selected_path, made.far.selected_path) == FIRST
    assert len(made.far.books.paths) == 1
    assert (made.near.ignored, made.far.ignored) == (1, 2)


def test_a_replayed_check_moves_nothing() -> None:
    made = call()
    made.connect()
    captured = next(packet for direction, _, packet in made.network.captured if direction == TO_FAR)
    before = len(made.network.captured)
    made.network.inject(TO_FAR, SECOND[1], captured)
    assert len(made.network.captured) == before
    assert made.far.selected_path == FIRST[1]
    made.network.inject(TO_FAR, FIRST[1], captured)
    assert len(made.network.captured) == before + 1


@pytest.mark.parametrize("kind", [PacketKind.RTP, PacketKind.RTCP, PacketKind.DTLS])
def test_what_comes_from_elsewhere_is_dropped_and_one_number(kind: PacketKind) -> None:
    made = call()
    made.connect()
    made.talk(50)
    captured = [packet for direction, _, packet in made.network.captured if direction == TO_FAR]
    books, ignored, sent = str(made.far.books), made.far.ignored, len(made.network.captured)
    made.network.inject(TO_FAR, SECOND[1], next(packet for packet in captured if packet_kind(packet) is kind))
    assert str(made.far.books) == books
    assert made.far.ignored == ignored + 1
    assert len(made.network.captured) == sent


def test_what_cannot_be_decrypted_is_counted_and_not_given_out() -> None:
    made = call()
    made.connect()
    made.network.inject(TO_FAR, FIRST[1], bytes(RtpPacket(111, 1, 1, NEAR_SSRC, bytes(40))))
    made.network.inject(TO_FAR, FIRST[1], b"\x80\xc8" + bytes(40))
    assert made.far.undecryptable == 2
    assert not made.told(TO_FAR, RtpReceived)
    assert made.far.books.streams == []
    assert "rtp" not in made.far.books.timeline


def test_a_wrong_certificate_fails_at_dtls_with_the_reason() -> None:
    made = call(settings=(replace(NEAR, remote_fingerprint=bytes(32)), FAR))
    made.run(0.3)
    ((failed),) = made.told(TO_NEAR, Failed)
    assert isinstance(failed, Failed)
    assert failed.stage == "dtls"
    assert "fingerprint" in failed.reason
    assert made.near.books.failure == f"dtls: {failed.reason}"
    assert not made.near.connected
    made.near.send_rtp(bytes(RtpPacket(111, 1, 1, NEAR_SSRC, b"x")), made.network.now)
    assert made.near.datagrams_to_send(made.network.now) == []


def test_a_client_with_another_certificate_gets_no_media() -> None:
    made = call(settings=(replace(NEAR, certificate=FAR_CERTIFICATE), FAR))
    made.run(0.3)
    assert [event.stage for event in made.told(TO_FAR, Failed) if isinstance(event, Failed)] == ["dtls"]
    assert not made.far.connected


def test_silence_fails_at_ice() -> None:
    made = call()
    made.network.blocked = {(TO_NEAR, FIRST[0])}
    made.run(2.5)
    assert made.near.stage == "ice"
    made.run(0.1)
    assert made.told(TO_NEAR, Failed) == [Failed("ice", "no connectivity check was answered: 6 sent, 2.55 s waited")]
    assert made.far.books.paths[0].stun_in == 6  # the far end's books name the direction
    assert made.near.next_timer() is None


def test_a_refusal_fails_at_ice_with_its_code() -> None:
    made = call()
    made.run(0.005)
    asked = stun.parse(made.network.captured[0][2])
    full = ErrorCode(508, "Too Many Sessions")
    packet = ice.refusal(asked, len(asked.raw), full, FAR_PASSWORD.encode())
    assert packet is not None
    made.network.inject(TO_NEAR, FIRST[0], packet)
    reason = "the far end refuses connectivity checks with 508 (Too Many Sessions)"
    assert made.told(TO_NEAR, Failed) == [Failed("ice", reason, 508)]


def test_an_answer_after_the_verdict_starts_nothing() -> None:
    made = call(weather=Weather(delay_s=2.0))
    made.run(5.0)
    assert made.near.books.failure.startswith("ice: ")
    assert len(made.told(TO_NEAR, Failed)) == 1
    assert not made.told(TO_NEAR, IceConnected)
    assert made.network.carried[TO_FAR].sent[PacketKind.DTLS] == 0


def test_another_schedule_may_be_asked_for() -> None:
    made = call(settings=(replace(NEAR, check_schedule_s=(0.0, 1.0), check_decided_s=3.0), FAR))
    made.network.blocked = {(TO_FAR, FIRST[0])}
    made.run(3.1)
    assert made.network.carried[TO_FAR].sent[PacketKind.STUN] == 2
    assert made.near.books.failure == "ice: no connectivity check was answered: 2 sent, 3 s waited"


@pytest.mark.parametrize("expiry_s", [10.0, 30.0])
def test_without_consent_both_ends_expire(expiry_s: float) -> None:
    made = call(settings=(replace(NEAR, consent_expiry_s=expiry_s), replace(FAR, consent_expiry_s=expiry_s)))
    made.connect()
    made.run(60.0)
    assert not made.near.expired
    assert not made.far.expired
    made.network.blocked = {(TO_FAR, FIRST[0])}
    made.run(expiry_s - 6.5)
    assert made.far.connected
    made.run(7.0)
    assert is_over(made.near)
    assert is_over(made.far)
    assert made.near.books.failure == f"ice: consent expired: no check was answered for {expiry_s:.0f} s"
    assert made.far.books.failure == ""  # a client that has gone is no failure of the session
    assert len(made.told(TO_FAR, Closed)) == 1


def is_over(connection: Connection) -> bool:
    return connection.expired and not connection.connected and connection.next_timer() is None


def test_good_bye_is_heard_and_carries_nothing_more() -> None:
    made = call()
    made.connect()
    made.near.close(made.network.now)
    made.run(0.1)
    assert made.told(TO_FAR, Closed)
    assert not made.far.connected
    assert made.near.next_timer() is None
    assert made.near.books.failure == made.far.books.failure == ""
    made.network.inject(TO_NEAR, FIRST[0], forged_check(NEAR_PASSWORD))
    assert made.near.datagrams_to_send(made.network.now) == []


def test_a_session_that_has_ended_still_answers_checks() -> None:
    made = call()
    made.connect()
    made.near.close(made.network.now)
    made.run(0.1)
    made.network.inject(TO_FAR, FIRST[1], forged_check(FAR_PASSWORD, tid=77))
    _, _, packet = made.network.captured[-1]
    assert stun.parse(packet).message_class is MessageClass.SUCCESS


def test_data_goes_through_dtls() -> None:
    made = call()
    made.near.send_data(b"too early", 0.0)
    made.connect()
    made.near.send_data(b"association", made.network.now)
    made.run(0.1)
    assert made.told(TO_FAR, DataReceived) == [DataReceived(b"association")]


def test_a_path_that_is_removed_is_used_no_more() -> None:
    made = call(FIRST, OVER_TCP)
    made.connect()
    made.near.remove_path(FIRST[0], made.network.now)
    made.far.remove_path(FIRST[1], made.network.now)
    made.run(0.1)
    made.talk(2)
    assert (made.near.selected_path, made.far.selected_path) == OVER_TCP
    assert made.near.books.streams[0].received == 2


def test_the_last_path_that_is_removed_is_a_failure() -> None:
    made = call(OVER_TCP)
    made.connect()
    made.near.remove_path(OVER_TCP[0], made.network.now)
    made.run(0.1)
    assert made.told(TO_NEAR, Failed) == [Failed("ice", "the path was closed")]


def test_a_lite_end_learns_its_paths_and_never_nominates() -> None:
    made = call()
    with pytest.raises(ValueError, match="learns its paths"):
        made.far.add_path(FIRST[1], 0.0)
    with pytest.raises(ValueError, match="does not nominate"):
        made.far.nominate(FIRST[1], 0.0)


def test_the_books_of_the_run_are_given_to_who_asks() -> None:
    run = RunBooks(run="run", sessions=[SessionBooks(session="x" * 17)])
    made = call(snapshot=wire_books.encode(run))
    made.connect()
    page_0 = (stun.DOCUMENT_REQUEST, documents.pack_request(Document.BOOKS, 0))
    listed: Attributes = [(stun.USERNAME, f"{'f' * 60}:near"), page_0, (stun.PADDING, bytes(800))]
    message = Message(Method.BINDING, MessageClass.REQUEST, bytes(12), listed)
    made.network.inject(TO_FAR, FIRST[1], message.encode(integrity_key=FAR_PASSWORD.encode(), fingerprint=True))
    value = stun.parse(made.network.captured[-1][2]).get(stun.BOOKS)
    assert value is not None
    reader = PageReader()
    reader.feed(value)
    assert wire_books.decode(reader.whole()) == run


def test_what_cannot_be_sent_is_dropped() -> None:
    made = call()
    voice = bytes(RtpPacket(111, 1, 1, NEAR_SSRC, b"x"))
    assert made.near.outgoing_rtp(voice, 0.0) is None
    made.near.send_rtcp(bytes(rtp.ReceiverReport(1)), 0.0)
    made.connect()
    assert made.near.outgoing_rtp(voice, 1.0, SECOND[0]) is None
    assert made.near.outgoing_rtp(b"\x80\x6f", 1.0) is None
    assert made.near.outgoing_rtp(bytes(RtpPacket(111, 1, 1, NEAR_SSRC, bytes(1400))), 1.0) is None
    made.near.send_rtcp(bytes(2000), 1.0)
    made.near.send_rtcp(bytes(rtp.ReceiverReport(1)), 1.0, SECOND[0])
    assert made.near.datagrams_to_send(1.0) == []
    assert made.near.books.sent_rtp == 0
    assert made.near.outgoing_rtp(voice, 1.0) is not None


def test_a_forwarder_takes_packets_without_an_event() -> None:
    made = call(echo=False)
    made.connect()
    voice = bytes(RtpPacket(111, 1, 1, NEAR_SSRC, b"x"))
    outgoing = made.near.outgoing_rtp(voice, 1.0)
    assert outgoing is not None
    path, packet = outgoing
    assert path == FIRST[0]
    assert made.far.accepts(FIRST[1])
    assert not made.far.accepts(SECOND[1])
    assert made.far.receive_rtp(packet, SECOND[1], 1.0) is None
    assert made.far.receive_rtp(packet, FIRST[1], 1.0) == voice
    assert made.far.events() == []
    assert made.far.books.streams[0].received == 1


def test_no_secret_stands_in_the_settings_repr() -> None:
    assert FAR_PASSWORD not in repr(NEAR)
    assert NEAR_PASSWORD not in repr(NEAR)
