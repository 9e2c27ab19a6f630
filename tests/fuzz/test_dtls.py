# Invariant: whatever datagrams come, in whatever state, an endpoint does not raise, sends nothing larger than its
# datagram limit, and never hands out keys without a finished handshake.

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


@given(st.binary(max_size=3000), st.integers(RECORD_HEADER_BYTES, 1400))
def test_packing_loses_nothing_that_is_whole(records: bytes, limit: int) -> None:
    joined = b"".join(packed(records, limit))
    assert records.startswith(joined) or joined.startswith(records)
