"""The DTLS-SRTP endpoint against itself, with every datagram lost, doubled, swapped and altered once.

OpenSSL's timer runs on real time, so the tests in which a flight is lost take the second that its timer takes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from OpenSSL import SSL

from calls_doctor.wire import dtls
from calls_doctor.wire.dtls import Certificate, DtlsEndpoint, DtlsRole, DtlsState, packed
from calls_doctor.wire.rtp import RtpPacket
from calls_doctor.wire.srtp import PROFILES

NEAR, FAR = Certificate.generate(), Certificate.generate()
HEALS_S = 2.0
PACKET = bytes(RtpPacket(111, 1, 2, 3, b"speech"))


def ends(*, server_timer: bool = True, near_expects: bytes = FAR.fingerprint, far_expects: bytes = NEAR.fingerprint,
         mtu: int = 1200) -> tuple[DtlsEndpoint, DtlsEndpoint]:  # fmt: skip
    client = DtlsEndpoint(NEAR, DtlsRole.CLIENT, near_expects, datagram_max_bytes=mtu)
    server = DtlsEndpoint(FAR, DtlsRole.SERVER, far_expects, own_timer=server_timer, datagram_max_bytes=mtu)
    return client, server


def deliver_all(datagrams: list[bytes]) -> list[bytes]:
    return datagrams


def shake(
    client: DtlsEndpoint,
    server: DtlsEndpoint,
    network: Callable[[list[bytes]], list[bytes]] = deliver_all,
    limit_s: float = HEALS_S,
) -> float:
    """Carries datagrams between both ends until both are connected, one has failed, or the limit; how long it took."""
    began = time.monotonic()
    client.start(began)
    while (now := time.monotonic()) < began + limit_s:
        moved = False
        for sender, receiver in ((client, server), (server, client)):
            for datagram in network(sender.datagrams_to_send()):
                moved = True
                receiver.receive(datagram, now)
        states = {client.state, server.state}
        if states == {DtlsState.CONNECTED} or (DtlsState.FAILED in states and not moved):
            break
        if not moved:
            timers = [at for end in (client, server) if (at := end.next_timer()) is not None]
            if not timers:
                break
            time.sleep(max(0.0, min(min(timers) - time.monotonic(), limit_s)))
            for end in (client, server):
                end.handle_timer(time.monotonic())
    return time.monotonic() - began


def assert_media_flows(client: DtlsEndpoint, server: DtlsEndpoint) -> None:
    assert client.srtp is not None and server.srtp is not None
    assert server.srtp.unprotect_rtp(client.srtp.protect_rtp(PACKET)) == PACKET
    assert client.srtp.unprotect_rtp(server.srtp.protect_rtp(PACKET)) == PACKET


def test_a_handshake_gives_both_ends_the_same_keys() -> None:
    client, server = ends()
    shake(client, server)
    assert (client.state, server.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)
    assert client.profile == server.profile == "SRTP_AEAD_AES_128_GCM"
    assert client.version == "DTLSv1.2" and "GCM" in client.cipher
    assert client.retransmissions == server.retransmissions == 0
    assert client.next_timer() is server.next_timer() is None
    assert_media_flows(client, server)


@pytest.mark.parametrize("server_timer", [True, False], ids=["both have timers", "only the client has one"])
@pytest.mark.parametrize("lost", range(4))
def test_each_datagram_lost_once_heals(lost: int, server_timer: bool) -> None:
    client, server = ends(server_timer=server_timer)
    sent = 0

    def lossy(datagrams: list[bytes]) -> list[bytes]:
        nonlocal sent
        kept = [datagram for n, datagram in enumerate(datagrams, sent) if n != lost]
        sent += len(datagrams)
        return kept

    took_s = shake(client, server, lossy)
    assert (client.state, server.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)
    assert sent > 4, "nothing was lost"
    assert took_s < HEALS_S
    assert_media_flows(client, server)


def test_a_last_flight_that_is_lost_is_sent_again_long_after_the_server_was_done() -> None:
    client, server = ends(server_timer=False)
    shake(client, server, lambda datagrams: datagrams, limit_s=0.0)
    now = time.monotonic()
    client.start(now)
    for _ in range(2):
        for sender, receiver in ((client, server), (server, client)):
            out = sender.datagrams_to_send()
            if sender is server and server.state is DtlsState.CONNECTED:
                continue  # its last flight is lost
            for datagram in out:
                receiver.receive(datagram, now)
    assert (client.state, server.state) == (DtlsState.HANDSHAKE, DtlsState.CONNECTED)
    assert shake(client, server) < HEALS_S
    assert client.state is DtlsState.CONNECTED


def test_a_server_without_a_timer_sends_nothing_by_itself() -> None:
    client, server = ends(server_timer=False)
    now = time.monotonic()
    client.start(now)
    for datagram in client.datagrams_to_send():
        server.receive(datagram, now)
    assert server.datagrams_to_send()
    assert server.next_timer() is None
    server.handle_timer(now + 100)
    assert server.datagrams_to_send() == []


def test_datagrams_that_come_twice_or_in_the_wrong_order_do_no_harm() -> None:
    client, server = ends(mtu=300)
    took_s = shake(client, server, lambda datagrams: [one for one in reversed(datagrams) for _ in range(2)])
    assert (client.state, server.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)
    assert took_s < HEALS_S
    assert_media_flows(client, server)


@pytest.mark.parametrize("mtu", [256, 600, 1200])
def test_no_datagram_is_larger_than_it_may_be(mtu: int) -> None:
    client, server = ends(mtu=mtu)
    sizes: list[int] = []

    def measured(datagrams: list[bytes]) -> list[bytes]:
        sizes.extend(map(len, datagrams))
        return datagrams

    shake(client, server, measured)
    assert client.state is DtlsState.CONNECTED
    assert max(sizes) <= mtu
    assert mtu > 300 or len(sizes) > 6, "the flights were cut"


@pytest.mark.parametrize("who", ["client", "server"])
def test_another_certificate_than_announced_gives_no_keys(who: str) -> None:
    wrong = Certificate.generate().fingerprint
    client, server = ends(near_expects=wrong) if who == "client" else ends(far_expects=wrong)
    shake(client, server)
    disappointed = client if who == "client" else server
    assert disappointed.state is DtlsState.FAILED
    assert "fingerprint" in disappointed.failure
    assert disappointed.srtp is None


def test_the_profile_is_what_both_know(monkeypatch: pytest.MonkeyPatch) -> None:
    second = PROFILES[1]
    dtls._context.cache_clear()
    client = DtlsEndpoint(NEAR, DtlsRole.CLIENT, FAR.fingerprint)
    monkeypatch.setattr(dtls, "PROFILES", (second,))
    server = DtlsEndpoint(FAR, DtlsRole.SERVER, NEAR.fingerprint)
    monkeypatch.undo()
    shake(client, server)
    assert client.profile == server.profile == second.name
    assert_media_flows(client, server)
    dtls._context.cache_clear()


def test_a_peer_without_srtp_is_refused() -> None:
    context = SSL.Context(SSL.DTLS_METHOD)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    _, server = ends()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    server.receive(client.bio_read(65536), time.monotonic())
    for _ in range(4):
        for datagram in server.datagrams_to_send():
            client.bio_write(datagram)
        with contextlib.suppress(SSL.Error):
            client.do_handshake()
        try:
            server.receive(client.bio_read(65536), time.monotonic())
        except SSL.WantReadError:
            break
    assert server.state is DtlsState.FAILED and server.failure
    assert server.srtp is None


def test_data_goes_both_ways_and_good_bye_is_heard() -> None:
    client, server = ends()
    shake(client, server)
    now = time.monotonic()
    for sender, receiver in ((client, server), (server, client)):
        sender.send_data(b"sctp" * 100, now)
        for datagram in sender.datagrams_to_send():
            assert b"sctp" not in datagram
            receiver.receive(datagram, now)
        assert receiver.data_received() == [b"sctp" * 100]
        assert receiver.data_received() == []
    client.close(now)
    for datagram in client.datagrams_to_send():
        server.receive(datagram, now)
    assert (client.state, server.state) == (DtlsState.CLOSED, DtlsState.CLOSED)


def test_nothing_is_sent_before_the_handshake_is_done() -> None:
    client, _ = ends()
    client.send_data(b"early", time.monotonic())
    assert client.datagrams_to_send() == []
    client.close(time.monotonic())
    client.receive(b"\x16\xfe\xfd", time.monotonic())
    assert client.state is DtlsState.CLOSED


def test_garbage_and_altered_records_never_raise_and_the_handshake_goes_on() -> None:
    client, server = ends()
    now = time.monotonic()
    for junk in (
        b"",
        b"\x16",
        b"\x16\xfe\xfd" + bytes(10),
        b"\x17\xfe\xfd" + bytes(40),
        bytes(1200),
        b"GET / HTTP/1.1",
    ):
        server.receive(junk, now)
        client.receive(junk, now)
    assert server.datagrams_to_send() == []
    shake(client, server)
    assert (client.state, server.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)
    for junk in (b"\x17\xfe\xfd\x00\x01" + bytes(8), b"\x15\xfe\xfd" + bytes(12)):
        server.receive(junk, now)
    assert server.state is DtlsState.CONNECTED


def test_records_are_packed_whole() -> None:
    records = [b"\x16\xfe\xfd" + bytes(8) + size.to_bytes(2, "big") + bytes(size) for size in (100, 500, 500, 900, 20)]
    datagrams = packed(b"".join(records), 1200)
    assert b"".join(datagrams) == b"".join(records)
    assert [len(one) for one in datagrams] == [113 + 513 + 513, 913 + 33]


def test_a_certificates_repr_shows_no_key() -> None:
    assert "key" not in repr(NEAR) and "x509" not in repr(NEAR)
    assert len(NEAR.fingerprint) == 32 and NEAR.fingerprint != FAR.fingerprint
