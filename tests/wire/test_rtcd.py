"""rtcd's first message and its version, against what was captured of v1.2.6."""

from __future__ import annotations

import json
from pathlib import Path

import msgpack  # type: ignore[import-untyped]  # it ships no types
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.wire import rtcd

CAPTURED_HELLO = bytes.fromhex(  # aiortc-audio: the first frame of a session
    "a568656c6c6f82a8636c69656e744944a7636c69656e7441a6636f6e6e4944ba393362387839743571626273336a733464706e67653875366879"
)
HTTP = Path(__file__).parents[1] / "data" / "rtcd" / "http.jsonl"


def test_hello_is_rtcds_to_the_byte() -> None:
    assert rtcd.hello("clientA", "93b8x9t5qbbs3js4dpnge8u6hy") == CAPTURED_HELLO
    assert rtcd.parse_hello(CAPTURED_HELLO) == "clientA"
    assert [rtcd.parse_hello(CAPTURED_HELLO[:cut]) for cut in range(len(CAPTURED_HELLO))] == [None] * len(
        CAPTURED_HELLO
    )


@given(st.text(min_size=1, max_size=64))
def test_hello_is_two_values(client_id: str) -> None:
    unpacker = msgpack.Unpacker()
    unpacker.feed(rtcd.hello(client_id, "x" * 26))
    assert list(unpacker) == ["hello", {"clientID": client_id, "connID": "x" * 26}]


@given(st.binary(min_size=16, max_size=16))
def test_a_connection_id_looks_like_rtcds(random: bytes) -> None:
    conn_id = rtcd.connection_id(random)
    assert len(conn_id) == 26 and set(conn_id) <= set("ybndrfg8ejkmcpqxot1uwisza345h769")


def test_connection_ids_differ() -> None:
    assert rtcd.connection_id(bytes(16)) == "y" * 26 != rtcd.connection_id(bytes(15) + b"\x01")


def test_the_version_has_rtcds_keys_in_rtcds_order() -> None:
    exchanges = [json.loads(line) for line in HTTP.read_text().splitlines()]
    (version,) = [one["response"]["body"] for one in exchanges if one["name"] == "version"]
    assert list(json.loads(version)) == list(rtcd.VERSION_KEYS)
    assert rtcd.STAND_IN_PREFIX.startswith("dev"), "the plugin takes these for new enough"
