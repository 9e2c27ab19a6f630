"""The DTLS-SRTP endpoint against itself, with every datagram lost, doubled, swapped, delayed and altered once.

OpenSSL's timer runs on real time, so a lost flight costs the second that its timer takes: all handshakes that lose
something run side by side, once, and each test looks at its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL, crypto

from calls_doctor.wire import dtls
from calls_doctor.wire.dtls import (
    DATA_MAX_BYTES,
    DATAGRAM_MAX_BYTES,
    DATAGRAM_MIN_BYTES,
    MISMATCH,
    RECORD_HEADER_BYTES,
    RECORD_OVERHEAD_BYTES,
    REPEAT_S,
    Certificate,
    DtlsEndpoint,
    DtlsRole,
    DtlsState,
    packed,
)
from calls_doctor.wire.rtp import RtpPacket
from calls_doctor.wire.srtp import PROFILES, SrtpProfile

CLIENT, SERVER = DtlsRole.CLIENT, DtlsRole.SERVER
NEAR, FAR, OTHER = Certificate.generate(), Certificate.generate(), Certificate.generate()
HEALS_S = 2.0
GCM = PROFILES[0].name.encode()
PACKET = bytes(RtpPacket(111, 1, 2, 3, b"speech"))
OVER = {DtlsState.CONNECTED, DtlsState.FAILED, DtlsState.CLOSED}

Fate = Callable[[DtlsRole, int], list[float]]
"""Who sends, and its how many-th datagram -> after how many seconds it comes; twice if it is doubled, [] if lost."""


def at_once(_sender: DtlsRole, _number: int) -> list[float]:
    return [0.0]


def losing(lost: tuple[DtlsRole, int], *, late_hello_s: float = 0.0) -> Fate:
    def fate(sender: DtlsRole, number: int) -> list[float]:
        if (sender, number) == lost:
            return []
        return [late_hello_s if (sender, number) == (CLIENT, 0) else 0.0]

    return fate


class Handshake:
    """Both ends, the network between them, and what passed on it."""

    def __init__(
        self,
        fate: Fate = at_once,
        *,
        server_timer: bool = True,
        near_expects: bytes = FAR.fingerprint,
        far_expects: bytes = NEAR.fingerprint,
        mtu: int = DATAGRAM_MAX_BYTES,
    ) -> None:
        self.client = DtlsEndpoint(NEAR, CLIENT, near_expects, datagram_max_bytes=mtu)
        self.server = DtlsEndpoint(FAR, SERVER, far_expects, own_timer=server_timer, datagram_max_bytes=mtu)
        self.sizes: dict[DtlsRole, list[int]] = {CLIENT: [], SERVER: []}
        self.took_s = 0.0
        self._fate = fate
        self._travelling: list[tuple[float, int, DtlsRole, bytes]] = []
        self._sent = 0

    @property
    def ends(self) -> tuple[DtlsEndpoint, DtlsEndpoint]:
        return self.client, self.server

    @property
    def states(self) -> tuple[DtlsState, DtlsState]:
        return self.client.state, self.server.state

    def step(self, now: float) -> None:
        for end in self.ends:
            end.handle_timer(now)
        self._take(now)
        while self._travelling and self._travelling[0][0] <= now:
            _, _, sender, datagram = heapq.heappop(self._travelling)
            (self.server if sender is CLIENT else self.client).receive(datagram, now)
            self._take(now)

    def _take(self, now: float) -> None:
        for sender, end in zip((CLIENT, SERVER), self.ends, strict=True):
            for datagram in end.datagrams_to_send():
                for after_s in self._fate(sender, len(self.sizes[sender])):
                    self._sent += 1
                    heapq.heappush(self._travelling, (now + after_s, self._sent, sender, datagram))
                self.sizes[sender].append(len(datagram))

    def waits_for(self) -> Iterator[float]:
        if self._travelling:
            yield self._travelling[0][0]
        for end in self.ends:
            if (at := end.next_timer()) is not None:
                yield at

    def assert_media_flows(self) -> None:
        assert self.states == (DtlsState.CONNECTED, DtlsState.CONNECTED)
        assert self.client.srtp is not None and self.server.srtp is not None
        assert self.server.srtp.unprotect_rtp(self.client.srtp.protect_rtp(PACKET)) == PACKET
        assert self.client.srtp.unprotect_rtp(self.server.srtp.protect_rtp(PACKET)) == PACKET


def run(*handshakes: Handshake, limit_s: float = HEALS_S) -> None:
    """Side by side, on the real clock, until each is over at both ends, waits for nothing, or the limit."""
    began = time.monotonic()
    for one in handshakes:
        one.client.start(began)
    going = list(handshakes)
    while going and (now := time.monotonic()) < began + limit_s:
        for one in going:
            one.step(now)
            one.took_s = time.monotonic() - began
        going = [one for one in going if not OVER.issuperset(one.states) and any(one.waits_for())]
        if going:
            time.sleep(max(0.0, min(at for one in going for at in one.waits_for()) - time.monotonic()))


def connected(*, server_timer: bool = True, mtu: int = DATAGRAM_MAX_BYTES) -> Handshake:
    one = Handshake(server_timer=server_timer, mtu=mtu)
    run(one)
    one.assert_media_flows()
    return one


def exchange(sender: DtlsEndpoint, receiver: DtlsEndpoint, now: float) -> list[bytes]:
    """What the sender has to send goes to the receiver, and is returned."""
    datagrams = sender.datagrams_to_send()
    for datagram in datagrams:
        receiver.receive(datagram, now)
    return datagrams


FLIGHTS = {"ClientHello": (CLIENT, 0), "ServerHello": (SERVER, 0), "ClientFinished": (CLIENT, 1),
           "ServerFinished": (SERVER, 1)}  # fmt: skip
"""One datagram each at 1200 bytes."""
TIMERS = {"both ends have timers": True, "the client alone has one": False}
PIECES = [(sender, n) for sender in (CLIENT, SERVER) for n in range(4)]
"""At 256 bytes a flight is several datagrams, of which one is lost."""
Case = tuple[str, str, float]
CASES: dict[Case, Handshake] = {
    **{(name, timers, late_s): Handshake(losing(lost, late_hello_s=late_s), server_timer=server_timer)
       for name, lost in FLIGHTS.items() for timers, server_timer in TIMERS.items() for late_s in (0.0, 0.1)},
    **{(f"{sender} {n}", timers, 256): Handshake(losing((sender, n)), server_timer=server_timer, mtu=256)
       for sender, n in PIECES for timers, server_timer in TIMERS.items()},
}  # fmt: skip


@pytest.fixture(scope="module")
def healed() -> dict[Case, Handshake]:
    """Every handshake that loses a datagram, after its end."""
    run(*CASES.values())
    return CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_each_datagram_lost_once_heals(healed: dict[Case, Handshake], case: Case) -> None:
    one = healed[case]
    one.assert_media_flows()
    assert 0.9 < one.took_s < HEALS_S, "nothing was lost, or it was not healed in time"
    assert one.client.retransmissions + one.server.retransmissions > 0


def test_a_handshake_gives_both_ends_the_same_keys() -> None:
    one = connected()
    assert one.client.profile == one.server.profile == "SRTP_AEAD_AES_128_GCM"
    assert one.client.version == "DTLSv1.2" and "GCM" in one.client.cipher
    assert one.client.retransmissions == one.server.retransmissions == 0
    assert one.client.next_timer() is one.server.next_timer() is None


def test_a_last_flight_that_is_lost_is_sent_again_long_after_the_server_was_done() -> None:
    one = Handshake(losing((SERVER, 1)), server_timer=False)
    now = time.monotonic()
    one.client.start(now)
    one.step(now)
    assert one.states == (DtlsState.HANDSHAKE, DtlsState.CONNECTED)
    run(one)
    one.assert_media_flows()
    assert one.took_s < HEALS_S
    assert (one.client.retransmissions, one.server.retransmissions) == (1, 0)


def test_a_server_without_a_timer_sends_nothing_by_itself() -> None:
    one = Handshake(server_timer=False)
    now = time.monotonic()
    one.client.start(now)
    exchange(one.client, one.server, now)
    assert one.server.datagrams_to_send()
    assert one.server.next_timer() is None
    one.server.handle_timer(now + 100)
    assert one.server.datagrams_to_send() == []


def numbered(record: bytes, number: int) -> bytes:
    """The same record under another record number, as a client sends it again."""
    return record[:5] + number.to_bytes(6, "big") + record[11:]


def test_a_repeated_hello_draws_one_flight_at_most_however_often_it_comes() -> None:
    one = Handshake(server_timer=False)
    one.client.start(0.0)
    (hello,) = one.client.datagrams_to_send()
    one.server.receive(hello, 0.0)
    flight = one.server.datagrams_to_send()
    for n in range(1, 20):
        one.server.receive(numbered(hello, n), REPEAT_S - 0.01)
    one.server.receive(hello, 9.0)  # the network doubled it: not the client's doing
    assert one.server.datagrams_to_send() == []
    one.server.receive(b"".join(numbered(hello, n) for n in range(20, 25)), REPEAT_S)
    assert one.server.datagrams_to_send() == flight
    assert one.server.retransmissions == 0, "it has no timer"


def test_datagrams_that_come_twice_cost_nothing() -> None:
    one = Handshake(lambda _, __: [0.0, 0.001], server_timer=False, mtu=256)
    run(one)
    one.assert_media_flows()
    assert one.client.retransmissions == one.server.retransmissions == 0


def test_datagrams_in_the_wrong_order_cost_one_retransmission_at_most() -> None:
    swapped = Handshake(lambda _, number: [0.02 * (1 - number % 2)], server_timer=False, mtu=256)
    backwards = Handshake(lambda _, number: [0.005 * (20 - number)], server_timer=False, mtu=256)
    run(swapped, backwards)
    for one in (swapped, backwards):
        one.assert_media_flows()
        assert one.took_s < HEALS_S
        assert one.client.retransmissions <= 1  # OpenSSL drops a ChangeCipherSpec that comes early


@pytest.mark.parametrize("mtu", [DATAGRAM_MIN_BYTES, 600, 1200])
def test_no_datagram_is_larger_than_it_may_be(mtu: int) -> None:
    one = connected(mtu=mtu)
    one.client.send_data(bytes(min(mtu - RECORD_OVERHEAD_BYTES, DATA_MAX_BYTES)), 0.0)
    one.client.close(0.0)
    sizes = [*one.sizes[CLIENT], *one.sizes[SERVER], *map(len, one.client.datagrams_to_send())]
    assert max(sizes) <= mtu
    assert mtu > 600 or len(sizes) > 6, "the flights were not cut"


def test_the_largest_packet_of_sctp_goes_in_one_datagram_though_the_handshake_takes_smaller_ones() -> None:
    one = connected(mtu=DATAGRAM_MIN_BYTES)
    packet = bytes(range(256)) * 4 + bytes(DATA_MAX_BYTES - 1024)
    one.client.send_data(packet, 0.0)
    (datagram,) = exchange(one.client, one.server, 0.0)
    assert len(datagram) == DATA_MAX_BYTES + RECORD_OVERHEAD_BYTES
    assert one.server.data_received() == [packet]


def test_a_message_is_not_cut_where_it_fits() -> None:
    """Without OP_NO_QUERY_MTU, OpenSSL takes a memory buffer for a path of 256 bytes."""
    one = Handshake()
    one.client.start(0.0)
    exchange(one.client, one.server, 0.0)
    (flight,) = one.server.datagrams_to_send()
    records, at = list[int](), 0
    while at < len(flight):
        records.append(RECORD_HEADER_BYTES + int.from_bytes(flight[at + 11 : at + 13], "big"))
        at += records[-1]
    assert max(records) > len(der_of(FAR)) > DATAGRAM_MIN_BYTES


def test_a_datagram_that_holds_no_flight_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="255"):
        DtlsEndpoint(NEAR, CLIENT, FAR.fingerprint, datagram_max_bytes=DATAGRAM_MIN_BYTES - 1)


def fragments(hello: bytes, size: int) -> list[bytes]:
    """A ClientHello of one record as several, each with a piece of the message (RFC 6347 section 4.2.3)."""
    record, message, body = hello[:11], hello[13:19], hello[25:]
    found = []
    for n, at in enumerate(range(0, len(body), size)):
        piece = body[at : at + size]
        handshake = message + at.to_bytes(3, "big") + len(piece).to_bytes(3, "big") + piece
        number = 10 + n if n else 0  # the client's next records have the numbers from 1 on
        found.append(numbered(record + len(handshake).to_bytes(2, "big") + handshake, number))
    return found


@pytest.mark.parametrize("backwards", [False, True])
def test_a_client_hello_may_come_in_pieces(backwards: bool) -> None:
    one = Handshake(server_timer=False)
    one.client.start(0.0)
    (hello,) = one.client.datagrams_to_send()
    pieces = fragments(hello, 60)
    assert len(pieces) > 2
    for piece in pieces[::-1] if backwards else pieces:
        assert one.server.datagrams_to_send() == []
        one.server.receive(piece, 0.0)
    run(one)
    one.assert_media_flows()
    assert one.server.retransmissions == 0


@pytest.mark.parametrize("who", [CLIENT, SERVER])
def test_another_certificate_than_announced_is_noticed_by_both_and_gives_no_keys(who: DtlsRole) -> None:
    wrong = OTHER.fingerprint
    one = Handshake(near_expects=wrong) if who is CLIENT else Handshake(far_expects=wrong)
    run(one)
    disappointed, rejected = one.ends if who is CLIENT else one.ends[::-1]
    assert one.states == (DtlsState.FAILED, DtlsState.FAILED)
    assert disappointed.failure == MISMATCH
    assert "did not take our certificate" in rejected.failure
    assert one.client.srtp is one.server.srtp is None
    assert one.client.retransmissions == one.server.retransmissions == 0, "an alert says so, not a timer"


def test_an_alert_that_was_lost_is_said_again_to_who_still_shakes_hands() -> None:
    one = Handshake(losing((SERVER, 1)), server_timer=False, far_expects=OTHER.fingerprint)
    run(one)
    assert one.states == (DtlsState.FAILED, DtlsState.FAILED)
    assert "did not take our certificate" in one.client.failure
    assert 0.9 < one.took_s < HEALS_S
    later = time.monotonic() + 100
    one.server.receive(b"\x15\xfe\xfd" + bytes(12), later)  # an alert draws none: two ends would never stop
    assert one.server.datagrams_to_send() == []
    one.server.receive(b"\x16\xfe\xfd" + bytes(12), later)
    assert [datagram[0] for datagram in one.server.datagrams_to_send()] == [0x15]


def test_who_fails_without_an_alert_of_its_own_says_nothing_again() -> None:
    one = Handshake(near_expects=OTHER.fingerprint)
    run(one)
    one.server.receive(b"\x16\xfe\xfd" + bytes(30), time.monotonic() + 100)
    assert one.server.state is DtlsState.FAILED and one.server.datagrams_to_send() == []


def test_keys_hang_on_the_fingerprint_even_if_openssl_did_not_ask_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    dtls._context.cache_clear()
    monkeypatch.setattr(dtls, "_is_announced", lambda *_: True)
    one = Handshake(far_expects=OTHER.fingerprint)
    dtls._context.cache_clear()
    run(one)
    assert one.server.state is DtlsState.FAILED and one.server.failure == MISMATCH
    assert one.server.srtp is None


def endpoints_with(
    client_profiles: tuple[SrtpProfile, ...], server_profiles: tuple[SrtpProfile, ...], monkeypatch: pytest.MonkeyPatch
) -> Handshake:
    """Contexts are made with the profiles that the module knows at that moment."""
    dtls._context.cache_clear()
    monkeypatch.setattr(dtls, "PROFILES", client_profiles)
    client = DtlsEndpoint(NEAR, CLIENT, FAR.fingerprint)
    monkeypatch.setattr(dtls, "PROFILES", server_profiles)
    one = Handshake()
    one.client = client
    monkeypatch.undo()
    dtls._context.cache_clear()
    run(one)
    return one


@pytest.mark.parametrize(
    ("client_profiles", "server_profiles", "agreed"),
    [
        (PROFILES, PROFILES[1:], PROFILES[1]),
        (PROFILES[1:], PROFILES, PROFILES[1]),
        (PROFILES[::-1], PROFILES, PROFILES[0]),
    ],
    ids=["the server knows one", "the client knows one", "both know both: the server's order"],
)
def test_the_profile_is_the_best_that_both_know(
    client_profiles: tuple[SrtpProfile, ...],
    server_profiles: tuple[SrtpProfile, ...],
    agreed: SrtpProfile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = endpoints_with(client_profiles, server_profiles, monkeypatch)
    assert one.client.profile == one.server.profile == agreed.name
    one.assert_media_flows()


def foreign_client(server: DtlsEndpoint, srtp: bytes, certificate: bytes = b"", folder: Path | None = None) -> str:
    """A bare OpenSSL client, with a certificate in DER, shakes hands with the server; how that ended for the client."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_max_proto_version(0xFEFD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    if srtp:
        context.set_tlsext_use_srtp(srtp)
    if folder is not None:
        file = folder / "certificate.der"
        file.write_bytes(certificate)
        context.use_certificate_file(
            file, crypto.FILETYPE_ASN1
        )  # a file, for cryptography cannot hold all that we give
        context.use_privatekey(NEAR.key)
    client = SSL.Connection(context, None)
    client.set_ciphertext_mtu(1200)
    client.set_connect_state()
    ended = ""
    for _ in range(4):
        try:
            client.do_handshake()
            client.recv(1)
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            ended = ended or dtls._reason(error)
        with contextlib.suppress(SSL.WantReadError):
            server.receive(client.bio_read(65536), 0.0)
        for datagram in server.datagrams_to_send():
            client.bio_write(datagram)
    return ended


def test_a_peer_without_srtp_is_refused_and_told(tmp_path: Path) -> None:
    server = Handshake().server
    ended = foreign_client(server, b"", der_of(NEAR), tmp_path)
    assert server.state is DtlsState.FAILED and "use_srtp" in server.failure
    assert server.srtp is None
    assert "close_notify" in ended


def test_a_peer_without_a_certificate_is_refused_and_told() -> None:
    server = Handshake().server
    ended = foreign_client(server, GCM)
    assert server.state is DtlsState.FAILED and "did not return a certificate" in server.failure
    assert server.srtp is None
    assert "alert" in ended


def der_of(certificate: Certificate) -> bytes:
    return certificate.x509.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_certificate_that_only_openssl_can_read_is_judged_by_its_fingerprint(
    is_announced: bool, tmp_path: Path
) -> None:
    der = der_of(NEAR).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)  # there is no version 6
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(der)
    server = DtlsEndpoint(FAR, SERVER, hashlib.sha256(der).digest() if is_announced else NEAR.fingerprint)
    foreign_client(server, GCM, der, tmp_path)
    assert server.state is (DtlsState.CONNECTED if is_announced else DtlsState.FAILED)
    assert (server.srtp is not None) is is_announced


def test_a_wrong_clock_does_not_matter_to_the_certificate() -> None:
    then = datetime.now(UTC) - timedelta(days=900)
    made = x509.CertificateBuilder().subject_name(NEAR.x509.subject).issuer_name(NEAR.x509.issuer)
    made = made.public_key(NEAR.key.public_key()).serial_number(7)
    expired = made.not_valid_before(then).not_valid_after(then + timedelta(days=1)).sign(NEAR.key, hashes.SHA256())
    fingerprint = hashlib.sha256(expired.public_bytes(serialization.Encoding.DER)).digest()
    one = Handshake(far_expects=fingerprint)
    one.client = DtlsEndpoint(Certificate(expired, NEAR.key, fingerprint), CLIENT, FAR.fingerprint)
    run(one)
    one.assert_media_flows()


def test_data_goes_both_ways_and_good_bye_is_heard() -> None:
    one = connected()
    for sender, receiver in (one.ends, one.ends[::-1]):
        sender.send_data(b"sctp" * 100, 0.0)
        sender.send_data(b"more", 0.0)
        sender.send_data(b"", 0.0)
        assert all(b"sctp" not in datagram for datagram in exchange(sender, receiver, 0.0))
        assert receiver.data_received() == [b"sctp" * 100, b"more"]
        assert receiver.data_received() == []
    one.client.close(0.0)
    exchange(one.client, one.server, 0.0)
    assert one.states == (DtlsState.CLOSED, DtlsState.CLOSED)
    assert one.client.retransmissions == one.server.retransmissions == 0
    one.server.send_data(b"too late", 0.0)
    assert one.server.datagrams_to_send() == []


def test_data_that_fits_into_no_datagram_is_the_callers_mistake_and_harms_nothing() -> None:
    one = connected()
    with pytest.raises(ValueError, match="1190"):
        one.client.send_data(bytes(DATA_MAX_BYTES + 1), 0.0)
    one.client.send_data(b"still", 0.0)
    exchange(one.client, one.server, 0.0)
    assert one.server.data_received() == [b"still"]


def test_good_bye_in_the_middle_of_a_handshake_is_put_into_words() -> None:
    one = Handshake()
    now = time.monotonic()
    one.client.start(now)
    exchange(one.client, one.server, now)
    one.server.receive(b"\x15\xfe\xfd" + bytes(7) + b"\x09\x00\x02\x01\x00", now)
    assert one.server.state is DtlsState.FAILED
    assert one.server.failure == "the DTLS handshake failed: the far end said good-bye (close_notify)"


def test_a_fatal_alert_is_named() -> None:
    one = Handshake()
    now = time.monotonic()
    one.client.start(now)
    exchange(one.client, one.server, now)
    one.server.receive(b"\x15\xfe\xfd" + bytes(7) + b"\x09\x00\x02\x02\x28", now)
    assert one.server.state is DtlsState.FAILED and "handshake failure" in one.server.failure


def test_nothing_is_sent_before_the_handshake_is_done() -> None:
    client, _ = Handshake().ends
    client.send_data(b"early", 0.0)
    assert client.datagrams_to_send() == []
    client.close(0.0)
    client.receive(b"\x16\xfe\xfd", 0.0)
    client.start(0.0)
    assert client.state is DtlsState.CLOSED and client.datagrams_to_send() == []


JUNK = (b"", b"\x16", b"\x16\xfe\xfd" + bytes(10), b"\x17\xfe\xfd" + bytes(40), bytes(1200), b"GET / HTTP/1.1",
        b"\x16\xfe\xfd" + bytes(8) + b"\x01\x00" + b"\x01" * 3)  # fmt: skip


def test_garbage_and_cut_records_never_raise_and_the_handshake_goes_on() -> None:
    one = Handshake()
    now = time.monotonic()
    one.client.start(now)
    (hello,) = one.client.datagrams_to_send()
    for junk in (*JUNK, *(hello[:n] for n in range(0, len(hello), 7))):
        one.server.receive(junk, now)
        one.client.receive(junk, now)
    assert one.server.datagrams_to_send() == []
    one.server.receive(hello, now)
    run(one)
    one.assert_media_flows()


def test_garbage_cut_and_replayed_records_harm_no_session() -> None:
    one = connected()
    one.client.send_data(b"word", 0.0)
    (record,) = one.client.datagrams_to_send()
    altered = record[:-1] + bytes((record[-1] ^ 1,))
    for bad in (*JUNK, b"\x15\xfe\xfd" + bytes(12), altered, *(record[:n] for n in range(len(record)))):
        one.server.receive(bad, 0.0)
    one.server.receive(record, 0.0)
    one.server.receive(record, 0.0)
    assert one.server.data_received() == [b"word"]
    assert one.server.state is DtlsState.CONNECTED and one.server.datagrams_to_send() == []


def test_records_are_packed_whole() -> None:
    records = [b"\x16\xfe\xfd" + bytes(8) + size.to_bytes(2, "big") + bytes(size) for size in (100, 500, 500, 900, 20)]
    datagrams = packed(b"".join(records), 1200)
    assert b"".join(datagrams) == b"".join(records)
    assert [len(one) for one in datagrams] == [113 + 513 + 513, 913 + 33]


def test_a_certificates_repr_shows_no_key() -> None:
    assert "key" not in repr(NEAR) and "x509" not in repr(NEAR)
    assert len(NEAR.fingerprint) == 32 and NEAR.fingerprint != FAR.fingerprint
