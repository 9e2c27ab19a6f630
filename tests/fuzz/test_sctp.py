# Invariant: whatever the chunks, in whatever order, before or after the association stands, nothing is raised, nothing
# larger than DATA_MAX_BYTES is sent, and what is kept of them stays within its bounds; a closed association is silent.

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.net.sctp import CHANNELS_MAX, MISORDERED_MAX, STREAMS_MAX, UNFINISHED_CHUNKS_MAX, WINDOW_BYTES
from calls_doctor.wire.dtls import DATA_MAX_BYTES
from tests.servers.sctp_client import DCEP, FIRST_TSN, OPEN, SctpClient, chunk

KINDS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 130, 192]) | st.integers(0, 255)
NUMBERS = st.integers(FIRST_TSN - 3, FIRST_TSN + 5).map(lambda tsn: tsn.to_bytes(4, "big"))
DATA = st.builds(
    lambda flags, tsn, stream, protocol, user_data: chunk(
        0, tsn + bytes((0, stream, 0, 0, 0, 0, 0, protocol)) + user_data, flags
    ),
    st.integers(0, 7), NUMBERS, st.integers(0, 3), st.sampled_from([50, 51, 53, 56, 57, 99]),
    st.sampled_from([OPEN, b"\x02", b"ping"]) | st.binary(min_size=1, max_size=30),
)  # fmt: skip
PARAMETERS = st.lists(
    st.builds(
        lambda kind, value: bytes((0, kind)) + (4 + len(value)).to_bytes(2, "big") + value + bytes(-len(value) % 4),
        st.sampled_from([7, 13, 16, 17]), st.binary(max_size=20),
    )
).map(b"".join)  # fmt: skip
CHUNKS = (
    DATA
    | st.builds(chunk, KINDS, st.binary(max_size=40), st.integers(0, 255))
    | st.builds(chunk, st.just(130), PARAMETERS)
    | st.builds(lambda tsn, rest: chunk(192, tsn + rest), NUMBERS, st.binary(max_size=8))
)
PACKETS = st.lists(st.lists(CHUNKS, min_size=1, max_size=4), max_size=12)


def assert_bounded(client: SctpClient) -> None:
    kept = client.association._sctp
    assert all(len(packet) <= DATA_MAX_BYTES for packet in client.packets)
    if client.association.closed:
        assert kept._t1_handle is kept._t2_handle is kept._t3_handle is kept._reconfig_handle is None
        return
    assert 0 <= kept._advertised_rwnd <= WINDOW_BYTES
    assert len(kept._data_channels) <= CHANNELS_MAX and len(kept._inbound_streams) <= STREAMS_MAX
    assert len(kept._sack_misordered) <= MISORDERED_MAX
    assert sum(len(one.reassembly) for one in kept._inbound_streams.values()) <= UNFINISHED_CHUNKS_MAX


async def played(packets: list[list[bytes]], *, established: bool) -> None:
    troubles: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: troubles.append(context))
    client = SctpClient(lambda message: message)
    if established:
        client.establish()
        client.send(client.data(DCEP, OPEN))
    for packet in packets:
        client.send(*packet)
        await asyncio.sleep(0)
        assert_bounded(client)
    client.association.close()
    await asyncio.sleep(0)
    client.packets.clear()
    for packet in packets:
        client.send(*packet)
    assert client.packets == [] and not troubles
    assert_bounded(client)


@given(PACKETS)
def test_before_the_association_stands(packets: list[list[bytes]]) -> None:
    asyncio.run(played(packets, established=False))


@given(PACKETS)
def test_after_it_stands(packets: list[list[bytes]]) -> None:
    asyncio.run(played(packets, established=True))
