"""msgpack values one after the other, and maps that fill fields: bounded, and one error for all that is malformed."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass

import msgpack  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import RtcdError
from calls_doctor.wire.rtcd_values import LIST_MAX, MAP_MAX, from_json, from_map, pack, to_json, to_map, unpack

SCALARS = st.one_of(st.text(), st.binary(), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none())


@dataclass(frozen=True)
class Named:
    name: str
    count: int = 0


KEYS = (("Name", "name"), ("Count", "count"))


@given(st.lists(st.one_of(SCALARS, st.dictionaries(st.text(), SCALARS, max_size=5)), max_size=5), st.integers(0, 5))
def test_values_come_back_as_many_as_are_asked_for(values: list[object], at_most: int) -> None:
    assert unpack(pack(*values), at_most) == values[:at_most]


def test_what_follows_the_last_value_asked_for_is_not_looked_at() -> None:
    assert unpack(b"\x01\xc1\xc1", 1) == [1]
    with pytest.raises(RtcdError, match="no msgpack"):
        unpack(b"\x01\xc1", 2)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\xdd\xff\xff\xff\xff", id="list-of-four-billion"),
        pytest.param(b"\xdf\xff\xff\xff\xff", id="map-of-four-billion"),
        pytest.param(b"\xdb\xff\xff\xff\xff", id="text-of-four-gigabytes"),
        pytest.param(b"\xc6\xff\xff\xff\xff", id="bytes-of-four-gigabytes"),
        pytest.param(b"\xc9\xff\xff\xff\xff\x01", id="extension-of-four-gigabytes"),
        pytest.param(msgpack.packb([0] * (LIST_MAX + 1)), id="list-above-the-limit"),
        pytest.param(msgpack.packb({str(key): 0 for key in range(MAP_MAX + 1)}), id="map-above-the-limit"),
        pytest.param(b"\x9f" * 60000, id="lists-in-lists"),
        pytest.param(b"\xdc\x00\x10" * 300000, id="lists-of-sixteen-in-lists"),
        pytest.param(b"\x81\xa1a" * 60000, id="maps-in-maps"),
        pytest.param(b"\x81\x01\x01", id="a-number-as-key"),
        pytest.param(b"\xa1\xff", id="text-that-is-not-utf-8"),
        pytest.param(msgpack.packb(msgpack.Timestamp(1)), id="a-time"),
        pytest.param(b"\xa5abc", id="cut"),
    ],
)
def test_malformed_values_are_refused_before_they_are_made(message: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RtcdError):
            unpack(message, 2)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * len(message) + (1 << 20)


def test_the_largest_map_is_read() -> None:
    largest = {str(key): 0 for key in range(MAP_MAX)}
    assert unpack(pack(largest), 1) == [largest]


def test_a_map_fills_fields_and_back() -> None:
    assert from_map(KEYS, {"Name": "n", "Count": 2, "More": 3}, Named) == Named("n", 2)
    assert from_map(KEYS, {"Name": "n"}, Named) == Named("n")
    assert list(to_map(KEYS, Named("n", 2)).items()) == [("Name", "n"), ("Count", 2)]


@pytest.mark.parametrize("value", [{}, {"Name": 1}, {"Name": "n", "Count": "2"}, {"name": "n"}, ["n"], None, "n"])
def test_a_value_that_fills_no_fields(value: object) -> None:
    with pytest.raises(RtcdError):
        from_map(KEYS, value, Named)


def test_json_has_no_spaces_and_keeps_its_order() -> None:
    assert to_json({"b": 1, "a": "é"}) == '{"b":1,"a":"é"}'.encode()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 100000, b"nope", b"1" * 5000 + b"e"])
def test_what_is_no_json(data: bytes) -> None:
    with pytest.raises(RtcdError, match="no JSON"):
        from_json(data)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.text(), max_size=5))
def test_json_comes_back(value: dict[str, object]) -> None:
    assert from_json(to_json(value)) == value == json.loads(to_json(value))
