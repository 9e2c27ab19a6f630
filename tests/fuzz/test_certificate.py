"""Certificates that a far end garbles: they are read, or raise what their reader catches, and nothing else."""

from __future__ import annotations

import contextlib

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.model.certificate import Certificate
from calls_doctor.net import certificate

GOOD = x509.load_pem_x509_certificate(
    trustme.CA().issue_cert("mm.example.com", "192.0.2.1", "2001:db8::1").cert_chain_pems[0].bytes()
).public_bytes(Encoding.DER)


def read(data: bytes) -> Certificate | None:
    with contextlib.suppress(*certificate.UNREADABLE):
        return certificate.described([data], 1)
    return None


def test_a_good_one_is_read() -> None:
    found = read(GOOD)
    assert found is not None
    assert found.names == ["mm.example.com", "192.0.2.1", "2001:db8::1"]


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_of_it_changed(changes: list[tuple[int, int]]) -> None:
    """What is read keeps its limits."""
    data = bytearray(GOOD)
    for place, byte in changes:
        data[place] = byte
    found = read(bytes(data))
    assert found is None or len(found.names) <= certificate.NAMES_MAX


@given(st.integers(0, len(GOOD)), st.binary(max_size=40))
def test_cut_and_lengthened(length: int, more: bytes) -> None:
    """Nothing is read that is shorter or longer than it says itself."""
    data = GOOD[:length] + more
    assert read(data) is None or len(data) == len(GOOD)
