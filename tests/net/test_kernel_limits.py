"""What the kernel says of its limits, held against what a socket and the system's own tools find."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from pathlib import Path

from calls_doctor.net import kernel_limits

HALF_FULL_BYTES = 4096


def test_buffers_are_what_a_socket_is_granted() -> None:
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    assert kernel_limits.receive_buffer_max_bytes(1 << 30) == most
    assert kernel_limits.receive_buffer_max_bytes(65536) == 65536
    assert kernel_limits.send_buffer_max_bytes(1 << 30) == int(Path("/proc/sys/net/core/wmem_max").read_text())


def test_what_a_full_socket_drops_is_counted_by_its_port() -> None:
    before = kernel_limits.receive_buffer_errors()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full, socket.socket(type=socket.SOCK_DGRAM) as sender:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HALF_FULL_BYTES)
        full.bind(("127.0.0.1", 0))
        port = full.getsockname()[1]
        assert kernel_limits.socket_drops(port) == 0
        for _ in range(100):
            sender.sendto(bytes(1000), ("127.0.0.1", port))
        dropped = kernel_limits.socket_drops(port)
    assert dropped is not None and 50 < dropped < 100
    after = kernel_limits.receive_buffer_errors()
    assert before is not None and after is not None and after - before >= dropped
    assert kernel_limits.socket_drops(port) is None


def test_open_files_of_this_process_and_of_another() -> None:
    assert kernel_limits.open_files() == resource.getrlimit(resource.RLIMIT_NOFILE)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300)),  # noqa: PLW1509 - no threads here
    ) as other:  # fmt: skip
        assert kernel_limits.open_files(other.pid) == (200, 300)
        other.communicate(b"\n")
    assert kernel_limits.open_files(2**22 + 1) is None


def test_ephemeral_ports_are_a_range() -> None:
    first, last = kernel_limits.ephemeral_ports()
    assert 0 < first < last < 65536
