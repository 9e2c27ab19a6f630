# Invariant: whatever datagrams come, in whatever state, an endpoint does not raise, sends nothing larger than its
# datagram limit, and never hands out keys without a finished handshake. A session that is up stays up, whatever comes
# that is not from its peer.

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from calls_doctor.wire.dtls import RECORD_HEADER_BYTES, Certificate, DtlsEndpoint, DtlsRole, DtlsState, packed

NEAR, FAR = Certificate.generate(), Certificate.generate()
RECORD_LIKE = st.builds(
    lambda kind, body: bytes((kind, 0xFE, 0xFD)) + bytes(8) + len(body).to_bytes(2, "big") + body,
    st.integers(20, 63),
    st.binary(max_size=60),
)
ENCRYPTED_LIKE = st.builds(
    lambda kind, number, body: (
        bytes((kind, 0xFE, 0xFD, 0, 1)) + number.to_bytes(6, "big") + len(body).to_bytes(2, "big") + body
    ),
    st.integers(20, 24),
    st.integers(0, (1 << 48) - 1),
    st.binary(max_size=80),
)
"""As after the handshake, by somebody who has no key."""
DATAGRAMS = st.lists(st.one_of(st.binary(max_size=80), RECORD_LIKE), max_size=12)


def _first_flight() -> bytes:
    client = DtlsEndpoint(NEAR, DtlsRole.CLIENT, FAR.fingerprint)
    client.start(0.0)
    (hello,) = client.datagrams_to_send()
    return hello


@given(st.sampled_from(list(DtlsRole)), DATAGRAMS)
@settings(max_examples=200, deadline=None)
def test_any_datagrams(role: DtlsRole, datagrams: list[bytes]) -> None:
    endpoint = DtlsEndpoint(FAR, role, NEAR.fingerprint, own_timer=False)
    for datagram in datagrams:
        endpoint.receive(datagram, 0.0)
    assert endpoint.srtp is None and endpoint.state is not DtlsState.CONNECTED
    assert all(len(one) <= 1200 for one in endpoint.datagrams_to_send())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_an_altered_client_hello(data: st.DataObject) -> None:
    hello = bytearray(_first_flight())
    at = data.draw(st.integers(0, len(hello) - 1))
    hello[at] ^= data.draw(st.integers(1, 255))
    del hello[data.draw(st.integers(1, len(hello))) :]
    server = DtlsEndpoint(FAR, DtlsRole.SERVER, NEAR.fingerprint, own_timer=False)
    server.receive(bytes(hello), 0.0)
    assert server.srtp is None
    assert all(len(one) <= 1200 for one in server.datagrams_to_send())


@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(0, 1199), st.integers(0, 255)), min_size=1, max_size=3),
    st.none() | st.integers(1, 1200),
)
@settings(max_examples=200, deadline=None)
def test_a_handshake_of_which_one_datagram_is_altered(
    which: int, changes: list[tuple[int, int]], cut: int | None
) -> None:
    client = DtlsEndpoint(NEAR, DtlsRole.CLIENT, FAR.fingerprint)
    server = DtlsEndpoint(FAR, DtlsRole.SERVER, NEAR.fingerprint, own_timer=False)
    client.start(0.0)
    sent = 0
    for sender, receiver in [(client, server), (server, client)] * 3:
        for datagram in sender.datagrams_to_send():
            assert len(datagram) <= 1200
            altered = bytearray(datagram)
            if sent == which:
                for at, value in changes:
                    altered[at % len(altered)] = value
                altered = altered[:cut]
            sent += 1
            receiver.receive(bytes(altered), 0.0)
    for end in (client, server):
        assert (end.srtp is not None) == (end.state in (DtlsState.CONNECTED, DtlsState.CLOSED))
        assert bool(end.failure) == (end.state is DtlsState.FAILED)


def _connected() -> tuple[DtlsEndpoint, DtlsEndpoint]:
    client = DtlsEndpoint(NEAR, DtlsRole.CLIENT, FAR.fingerprint)
    server = DtlsEndpoint(FAR, DtlsRole.SERVER, NEAR.fingerprint, own_timer=False)
    client.start(0.0)
    for sender, receiver in [(client, server), (server, client)] * 2:
        for datagram in sender.datagrams_to_send():
            receiver.receive(datagram, 0.0)
    return client, server


@given(st.lists(st.one_of(DATAGRAMS.map(b"".join), ENCRYPTED_LIKE), max_size=12), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_session_that_is_up_stays_up(datagrams: list[bytes], is_client: bool) -> None:
    client, server = _connected()
    end, peer = (client, server) if is_client else (server, client)
    for datagram in datagrams:
        end.receive(datagram, 0.0)
    assert end.state is DtlsState.CONNECTED and end.data_received() == [] and end.datagrams_to_send() == []
    peer.send_data(b"word", 0.0)
    for datagram in peer.datagrams_to_send():
        end.receive(datagram, 0.0)
    assert end.data_received() == [b"word"]


@given(st.binary(max_size=3000), st.integers(RECORD_HEADER_BYTES, 1400))
def test_packing_loses_nothing_that_is_whole(records: bytes, limit: int) -> None:
    joined = b"".join(packed(records, limit))
    assert records.startswith(joined) or joined.startswith(records)
