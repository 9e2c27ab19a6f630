"""Names to addresses: literals, this machine's own names, names that are none, and a resolver that hangs."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from calls_doctor.errors import Unresolved
from calls_doctor.net import resolver
from calls_doctor.net.resolver import each_name_once, look_up, resolve, resolve_or_none, routed


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A system whose name server is silent until the test ends; set when it was asked."""
    asked, end = threading.Event(), threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        asked.set()
        end.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    end.set()
    for thread in threading.enumerate():
        if thread.name == "look-up":
            thread.join(10)


@pytest.mark.parametrize(
    ("literal", "address"),
    [("192.0.2.7", "192.0.2.7"), ("2001:DB8::1", "2001:db8::1"), ("fe80::1%eth0", "fe80::1%eth0")],
)
async def test_a_literal_is_its_own_address_and_nobody_is_asked(
    literal: str, address: str, hanging: threading.Event
) -> None:
    assert await resolve(literal) == [address]
    assert not hanging.is_set()


async def test_this_machines_own_name() -> None:
    addresses = await resolve("localhost")
    assert set(addresses) <= {"127.0.0.1", "::1"} and len(addresses) == len(set(addresses)) >= 1


async def test_every_address_comes_once_and_in_the_systems_order(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = socket.SOCK_STREAM
    found = [
        (socket.AF_INET6, kind, 6, "", ("2001:db8::1", 0, 0, 0)),
        (socket.AF_INET, kind, 6, "", ("192.0.2.1", 0)),
        (socket.AF_INET6, kind, 6, "", ("2001:db8::1", 0, 0, 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert await resolve("two.example.com") == ["2001:db8::1", "192.0.2.1"]


@pytest.mark.parametrize("name", ["nobody.invalid", "a..b", "x" * 64 + ".example.com", "nul\0.example.com", ".", "ü.."])
async def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(Unresolved, match="the look-up of"):
        await resolve(name)


async def test_a_resolver_that_hangs_is_given_up_in_time(
    hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.1)
    began = time.monotonic()
    with pytest.raises(Unresolved, match="the look-up of slow"):
        await resolve("slow.example.com")
    assert 0.1 <= time.monotonic() - began < 1.0 and hanging.is_set()


async def test_looking_up_can_be_cancelled(hanging: threading.Event) -> None:
    asking = asyncio.create_task(resolve("slow.example.com"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert hanging.wait(5)


def test_a_resolver_that_hangs_does_not_keep_the_program_from_ending() -> None:
    program = """
import asyncio, socket, time
from calls_doctor.errors import Unresolved
from calls_doctor.net import resolver
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
resolver.TIMEOUT_S = 0.05
try:
    asyncio.run(resolver.resolve("slow.example.com"))
except Unresolved as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout.startswith("the look-up of slow.example.com failed (no answer in 0.05 s)")


NO_ROUTE = "fe80::1"
"""A link-local address without its link."""


@pytest.mark.parametrize(
    ("addresses", "kept"),
    [
        (["127.0.0.1", NO_ROUTE, "127.0.0.2"], ["127.0.0.1", "127.0.0.2"]),
        ([NO_ROUTE, "127.0.0.1"], ["127.0.0.1"]),
        ([NO_ROUTE], [NO_ROUTE]),
        ([], []),
    ],
)
async def test_addresses_that_this_machine_cannot_try_are_left_out_where_it_can_try_others(
    addresses: list[str], kept: list[str]
) -> None:
    assert routed(addresses) == kept


async def test_within_a_run_a_name_is_looked_up_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with each_name_once():
        both = await asyncio.gather(resolve("one.example.com"), resolve("one.example.com"))
        assert await resolve("one.example.com") == ["192.0.2.1"] == both[0]
    assert asked == ["one.example.com"]
    await resolve("one.example.com")
    await resolve("one.example.com")
    assert len(asked) == 3, "outside a run names may change"


@pytest.mark.usefixtures("hanging")
async def test_within_a_run_a_silence_is_waited_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.3)
    with each_name_once():
        assert await resolve_or_none("slow.example.com") == []
        began = time.monotonic()
        assert await resolve_or_none("slow.example.com") == []
    assert time.monotonic() - began < 0.1


@pytest.mark.usefixtures("hanging")
async def test_one_who_gives_up_leaves_the_answer_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.3)
    with each_name_once():
        first, second = (asyncio.create_task(resolve_or_none("slow.example.com")) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert await second == []


async def test_no_such_name_is_final_and_a_failure_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, is_final in ((socket.EAI_NONAME, True), (socket.EAI_AGAIN, False)):

        def getaddrinfo(*_: object, number: int = number, **__: object) -> list[object]:
            raise socket.gaierror(number, "made up")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        assert (await look_up("one.example.com")).is_final is is_final
