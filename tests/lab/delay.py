"""A machine of the lab that forwards later than it receives, both ways. Needs root and /dev/net/tun; Linux only.

Stands in for `tc netem`, which many kernels lack: what comes in on the named interfaces is routed into a TUN device,
and whoever reads that device gives each packet back when its time has come. The order stays.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.lab.network import Machine
from tests.lab.two_hosts import HERE

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
DEVICE = "delay0"
TABLE = 100
READY_S = 10.0


@contextlib.contextmanager
def delaying(machine: Machine, delay_s: float, interfaces: Sequence[str]) -> Iterator[None]:
    """What comes in on these interfaces, and is not for the machine itself, goes on after so long."""
    command = machine.command([sys.executable, "-m", "tests.lab.delay", str(delay_s), *interfaces])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=HERE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=READY_S)


class _Delay:
    """The reader of the device; it keeps each packet until its time has come."""

    def __init__(self, device: int, delay_s: float) -> None:
        self._device, self._delay_s = device, delay_s
        self._loop = asyncio.get_running_loop()
        self._waiting: collections.deque[bytes] = collections.deque()
        self._loop.add_reader(device, self._take)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._waiting.append(os.read(self._device, 65535))
                self._loop.call_later(self._delay_s, self._give_back)

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):  # IPv6 neighbour discovery is nobody's here
            os.write(self._device, self._waiting.popleft())


def _device(interfaces: Sequence[str]) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    rules = "".join(f"rule add iif {one} lookup {TABLE}\n" for one in interfaces)
    script = f"link set {DEVICE} up\nroute add default dev {DEVICE} table {TABLE}\n{rules}"
    subprocess.run(["ip", "-batch", "-"], input=script, text=True, check=True)
    return device


async def _serve(device: int, delay_s: float) -> None:
    delay = _Delay(device, delay_s)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    del delay


if __name__ == "__main__":
    asyncio.run(_serve(_device(sys.argv[2:]), float(sys.argv[1])))
