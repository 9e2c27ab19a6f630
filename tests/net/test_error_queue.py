"""The error queue of real sockets on loopback: who said what, and that it is empty afterwards."""

from __future__ import annotations

import errno
import select
import socket
import sys
from collections.abc import Callable

import pytest

from calls_doctor.errors import Icmp
from calls_doctor.net import error_queue
from calls_doctor.net.error_queue import HAS_ERROR_QUEUE, Queued, ask_for_errors, queued_errors

pytestmark = pytest.mark.skipif(not HAS_ERROR_QUEUE, reason="only Linux has an error queue")

HOSTS = {"127.0.0.1": (socket.AF_INET, Icmp(4, 3, 3, "127.0.0.1")), "::1": (socket.AF_INET6, Icmp(6, 1, 4, "::1"))}


def refused(host: str, port: int, *, wanted: bool = True) -> socket.socket:
    """A socket that has sent to a closed port, and was told by the time this returns."""
    sock = socket.socket(HOSTS[host][0], socket.SOCK_DGRAM)
    sock.setblocking(False)
    ask_for_errors(sock, wanted)
    sock.connect((host, port))
    sock.send(b"anybody?")
    poll = select.poll()
    poll.register(sock, select.POLLERR)
    assert poll.poll(1000)
    return sock


@pytest.mark.parametrize("host", HOSTS)
def test_an_icmp_error_comes_with_its_type_code_and_sender_once(host: str, free_port: Callable[[], int]) -> None:
    with refused(host, free_port()) as sock:
        assert queued_errors(sock) == [Queued(errno.ECONNREFUSED, HOSTS[host][1], 0)]
        assert queued_errors(sock) == []


def test_who_does_not_ask_is_not_told_who_it_was(free_port: Callable[[], int]) -> None:
    with refused("127.0.0.1", free_port(), wanted=False) as sock:
        assert queued_errors(sock) == []


def test_other_systems_have_an_empty_queue(monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> None:
    with refused("127.0.0.1", free_port()) as sock:
        monkeypatch.setattr(error_queue, "HAS_ERROR_QUEUE", False)
        assert queued_errors(sock) == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Icmp(4, 3, 13, "203.0.113.1"), "ICMP 3/13 from 203.0.113.1"),
        (Icmp(6, 1, 4, "2001:db8::1"), "ICMPv6 1/4 from 2001:db8::1"),
        (Icmp(4, 11, 0, ""), "ICMP 11/0"),
    ],
)
def test_an_icmp_error_has_a_sentence(error: Icmp, text: str) -> None:
    assert str(error) == text


def test_a_short_or_foreign_entry_is_nothing() -> None:
    assert error_queue._parsed(b"\x00" * 8) is None
    stamp = error_queue._EXTENDED_ERROR.pack(errno.ENOMSG, 4, 0, 0, 0, 0, 0)  # SO_EE_ORIGIN_TIMESTAMPING
    assert error_queue._parsed(stamp) is None
    too_big = error_queue._EXTENDED_ERROR.pack(errno.EMSGSIZE, 1, 0, 0, 0, 1500, 0)
    assert error_queue._parsed(too_big) == Queued(errno.EMSGSIZE, None, 1500)


V4, V6 = (family.to_bytes(2, sys.byteorder) for family in (socket.AF_INET, socket.AF_INET6))
FROM_V4 = V4 + bytes(2) + bytes([192, 0, 2, 1])
FROM_V6 = V6 + bytes(6) + socket.inet_pton(socket.AF_INET6, "2001:db8::1")


@pytest.mark.parametrize(("sockaddr", "sender"), [
    (FROM_V4, "192.0.2.1"), (FROM_V4 + bytes(8), "192.0.2.1"), (FROM_V6, "2001:db8::1"),
    (FROM_V6 + bytes(4), "2001:db8::1"), (FROM_V4[:-1], ""), (FROM_V6[:-1], ""), (bytes(28), ""), (b"", ""),
])  # fmt: skip
def test_the_sender_is_read_from_a_whole_address_of_a_known_family_alone(sockaddr: bytes, sender: str) -> None:
    error = error_queue._EXTENDED_ERROR.pack(errno.EHOSTUNREACH, 2, 11, 0, 0, 0, 0)
    assert error_queue._parsed(error + sockaddr) == Queued(errno.EHOSTUNREACH, Icmp(4, 11, 0, sender), 0)
