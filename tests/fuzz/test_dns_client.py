"""Whatever comes as an answer of a DNS server, nothing is raised in the loop: it is an answer, or it is passed over."""

from __future__ import annotations

import asyncio

import dns.message
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.net import dns_client
from calls_doctor.net.dns_client import Outcome
from tests.servers.dns_servers import DnsServer

QUERY = dns.message.make_query("rtc.example.com.", "A", id=7, payload=dns_client.UDP_PAYLOAD_BYTES)
SERVER = DnsServer({"rtc.example.com": ["-> edge.example.net", "192.0.2.1", "192.0.2.2"]})
GOOD = SERVER.answer(QUERY.to_wire(), "udp") or b""


def read(data: bytes) -> Outcome | None:
    """None where it is passed over."""

    async def heard() -> Outcome | None:
        reply = dns_client._Reply(QUERY)
        reply.packet(data)
        return dns_client._read(await reply.heard(), 0.0).outcome if reply.came.done() else None

    return asyncio.run(heard())


def test_the_answer_that_is_changed_here_is_one() -> None:
    assert read(GOOD) is Outcome.FOUND


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert read(data) is None or data[:2] == GOOD[:2]


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_an_answer_with_some_bytes_changed(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    assert read(bytes(data)) in (None, *Outcome)


@given(st.integers(0, len(GOOD)), st.binary(max_size=40))
def test_an_answer_that_is_cut_short_or_followed_by_more(length: int, more: bytes) -> None:
    assert read(GOOD[:length] + more) in (None, *Outcome)
