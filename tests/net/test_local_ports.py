"""Ports that this test takes itself, and the machine's own addresses."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from calls_doctor.model.flow import Transport
from calls_doctor.net import local_ports
from calls_doctor.net.local_ports import PortOwner, can_bind, local_addresses, port_owner

KINDS = {Transport.UDP: socket.SOCK_DGRAM, Transport.TCP: socket.SOCK_STREAM}


def _taken(transport: Transport, host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, KINDS[transport])
    sock.bind((host, 0))
    if transport is Transport.TCP:
        sock.listen()
    return sock


@pytest.mark.parametrize("transport", KINDS)
@pytest.mark.parametrize(
    ("taken", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("::", "0.0.0.0")],
)
def test_a_taken_port_names_its_owner(transport: Transport, taken: str, asked: str) -> None:
    with _taken(transport, taken) as sock:
        port = sock.getsockname()[1]
        error = can_bind(transport, asked, port)
        assert error is not None and error.errno == errno.EADDRINUSE
        owner = port_owner(transport, asked, port)
    assert owner is not None
    assert (owner.uid, owner.pid) == (os.getuid(), os.getpid())
    assert owner.command == Path("/proc/self/comm").read_text().strip()


@pytest.mark.parametrize("transport", KINDS)
def test_a_free_port_is_free_and_nobodys(transport: Transport, free_port: Callable[[], int]) -> None:
    port = free_port()
    assert can_bind(transport, "127.0.0.1", port) is None
    assert port_owner(transport, "127.0.0.1", port) is None


def test_the_owner_of_another_address_is_not_named() -> None:
    with _taken(Transport.TCP, "127.0.0.9") as sock:
        assert port_owner(Transport.TCP, "127.0.0.1", sock.getsockname()[1]) is None


def test_a_connection_that_lingers_takes_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # which sets SO_REUSEADDR, as servers do
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            accepted.close()  # the side that closes first is the one that lingers
    assert can_bind(Transport.TCP, "127.0.0.1", port) is None


def test_an_owner_that_may_not_be_looked_into_is_a_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_ports, "_process_with", lambda _inode: None)  # what a user who is not root meets
    with _taken(Transport.UDP, "127.0.0.1") as sock:
        owner = port_owner(Transport.UDP, "127.0.0.1", sock.getsockname()[1])
    assert str(owner) == f"a program of uid {os.getuid()}"


def test_an_owner_reads_well() -> None:
    assert str(PortOwner(33, 12, "nginx")) == "nginx (pid 12, uid 33)"
    assert str(PortOwner(33, 12)) == "a program (pid 12, uid 33)"


def test_without_proc_nothing_is_known_and_nothing_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(local_ports, "_PROC", tmp_path)
    assert port_owner(Transport.UDP, "127.0.0.1", 8443) is None
    assert local_addresses()[0] == "127.0.0.1"


def test_the_addresses_of_this_machine_can_be_bound() -> None:
    addresses = local_addresses()
    assert "127.0.0.1" in addresses and len(set(addresses)) == len(addresses)
    for address in addresses:
        if not address.startswith("fe80"):  # which need their interface named
            assert can_bind(Transport.UDP, address, 0) is None, address
