# Invariant: whatever comes by whatever path, even from a peer that holds every key, a connection does not raise; what
# comes by a path that was never validated draws no byte; what is kept is bounded.

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.model.flow import Path, Transport
from calls_doctor.wire.connection import Connection, SessionSettings
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.framing import PacketKind, packet_kind
from calls_doctor.wire.ice import IceRole
from calls_doctor.wire.path_books import PATHS_MAX
from calls_doctor.wire.rtp import RtpPacket
from calls_doctor.wire.rtp_statistics import STREAMS_MAX

NEAR_CERTIFICATE, FAR_CERTIFICATE = Certificate.generate(), Certificate.generate()
NEAR_PATH = Path(Transport.UDP, ("10.0.0.1", 1), ("198.51.100.2", 8443))
FAR_PATH = Path(Transport.UDP, ("198.51.100.2", 8443), ("192.0.2.1", 1))
STRANGE_PATH = Path(Transport.UDP, ("198.51.100.2", 8443), ("192.0.2.66", 1))
NEAR = SessionSettings(
    session="s" * 17,
    ice_role=IceRole.CONTROLLING,
    dtls_role=DtlsRole.CLIENT,
    certificate=NEAR_CERTIFICATE,
    remote_fingerprint=FAR_CERTIFICATE.fingerprint,
    local_fragment="near",
    local_password="n" * 22,
    remote_fragment="far0",
    remote_password="f" * 22,
    ssrc=1,
)
FAR = SessionSettings(
    session="s" * 17,
    ice_role=IceRole.LITE,
    dtls_role=DtlsRole.SERVER,
    certificate=FAR_CERTIFICATE,
    remote_fingerprint=NEAR_CERTIFICATE.fingerprint,
    local_fragment="far0",
    local_password="f" * 22,
    remote_fragment="near",
    remote_password="n" * 22,
    ssrc=2,
)


def ends(exchanges: int) -> tuple[Connection, Connection, list[bytes]]:
    """Two ends after so many exchanges (five connect them), and every packet that the near end sent so far."""
    near, far = Connection(NEAR, Random(1).randbytes, 0.0), Connection(FAR, Random(2).randbytes, 0.0)
    near.add_path(NEAR_PATH, 0.0)
    sent = []
    for _ in range(exchanges):
        for _, packet in near.datagrams_to_send(0.0):
            sent.append(packet)
            far.receive(packet, FAR_PATH, 0.0)
        for _, packet in far.datagrams_to_send(0.0):
            near.receive(packet, NEAR_PATH, 0.0)
    return near, far, sent


def driven(connection: Connection) -> list[tuple[Path, bytes]]:
    """All that a driver does, an hour's timers included."""
    connection.events()
    for now in (1.0, 1.5, 3600.0):
        connection.next_timer()
        connection.handle_timer(now)
    books = connection.books
    assert len(books.paths) <= PATHS_MAX
    assert len(books.streams) <= STREAMS_MAX
    return connection.datagrams_to_send(3600.0)


FIRST_BYTES = st.sampled_from([0, 1, 20, 22, 23, 63, 64, 128, 144, 191, 255])
PACKETS = st.one_of(
    st.binary(max_size=100),
    st.builds(lambda first, second, rest: bytes((first, second)) + rest, FIRST_BYTES, st.integers(0, 255), st.binary()),
)


@given(st.integers(0, 5), st.lists(PACKETS, max_size=6))
def test_any_bytes_at_any_time(exchanges: int, packets: list[bytes]) -> None:
    near, far, _ = ends(exchanges)
    for packet in packets:
        near.receive(packet, NEAR_PATH, 1.0)
        far.receive(packet, FAR_PATH, 1.0)
    driven(near)
    driven(far)


@given(st.integers(0, 5), st.lists(PACKETS, max_size=6))
def test_what_comes_from_elsewhere_draws_no_byte(exchanges: int, packets: list[bytes]) -> None:
    _, far, sent = ends(exchanges)
    far.datagrams_to_send(0.0)
    stolen = [packet for packet in sent if packet_kind(packet) is not PacketKind.STUN]
    for packet in [*packets, *stolen]:
        far.receive(packet, STRANGE_PATH, 1.0)
        assert far.datagrams_to_send(1.0) == []
    assert far.ignored == len(packets) + len(stolen)


@given(st.integers(1, 4), st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=3)), max_size=8))
def test_truncations_and_mutations_of_real_packets(exchanges: int, changes: list[tuple[float, bytes]]) -> None:
    # Places are ratios: a signature of DTLS has one length this time and another the next.
    _, far, sent = ends(exchanges)
    for packet, (place, put) in zip(sent, changes, strict=False):
        at = int(place * (len(packet) - 1))
        far.receive(packet[:at], FAR_PATH, 1.0)
        far.receive(packet[:at] + put + packet[at + 1 :], FAR_PATH, 1.0)
    driven(far)


@given(st.lists(st.tuples(st.booleans(), PACKETS), max_size=8))
def test_a_peer_that_holds_the_keys(packets: list[tuple[bool, bytes]]) -> None:
    near, far, _ = ends(5)
    assert near.connected
    for as_rtcp, body in packets:
        if as_rtcp:
            near.send_rtcp(b"\x81\xc8" + body, 1.0)
        else:
            near.send_rtp(b"\x90\x6f" + body, 1.0)
    for _, packet in near.datagrams_to_send(1.0):
        far.receive(packet, FAR_PATH, 1.0)
    driven(far)


@given(st.lists(st.integers(0, 0xFFFFFFFF), min_size=STREAMS_MAX + 1, max_size=STREAMS_MAX + 40, unique=True))
def test_however_many_streams_what_is_kept_and_reported_is_bounded(ssrcs: list[int]) -> None:
    near, far, _ = ends(5)
    for ssrc in ssrcs:
        near.send_rtp(bytes(RtpPacket(111, 1, 1, ssrc, b"voice")), 0.5)
    for _, packet in near.datagrams_to_send(0.5):
        far.receive(packet, FAR_PATH, 0.5)
    assert len(far.books.streams) == STREAMS_MAX
    for end in (near, far):
        end.handle_timer(1.0)
        reports = [packet for _, packet in end.datagrams_to_send(1.0) if packet_kind(packet) is PacketKind.RTCP]
        assert len(reports) == 1
        assert len(reports[0]) <= 1200
    driven(far)
