"""Names to addresses, by the system's own resolver: what calls on this machine would use."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from calls_doctor.errors import NetworkError, Unresolved, reason_of

TIMEOUT_S = 5.0
_ANY_PORT = 9
"""Connecting a UDP socket sends nothing, so no port is asked."""
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


@dataclass(frozen=True)
class LookedUp:
    """What the system made of a name."""

    addresses: tuple[str, ...]
    """In the system's order of preference; empty where there is `trouble`."""
    took_s: float
    trouble: Unresolved | None = None
    is_final: bool = False
    """The system says that there is no such name, or no address of it; it did not merely fail to find out."""


@dataclass(frozen=True)
class _Asked:
    answer: asyncio.Future[LookedUp]
    at_s: float
    """By the loop's clock."""


_asked: ContextVar[dict[str, _Asked] | None] = ContextVar("names that were asked for", default=None)


@contextlib.contextmanager
def each_name_once() -> Iterator[None]:
    """Within it a name is looked up once, whoever asks: a slow answer is waited for once, and so is a silence."""
    token = _asked.set({})
    try:
        yield
    finally:
        _asked.reset(token)


async def resolve(host: str) -> list[str]:
    """Every address of a name, in the system's order of preference; an address literal is its own.

    Raises Unresolved where the name has none, cannot be looked up, or no answer comes in TIMEOUT_S.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    found = await look_up(host)
    if found.trouble is not None:
        raise found.trouble
    return list(found.addresses)


async def look_up(name: str) -> LookedUp:
    """The same of a name, with the time that it took: at most TIMEOUT_S from when it was first asked for."""
    loop = asyncio.get_running_loop()
    known = _asked.get()
    asked = known.get(name) if known is not None else None
    if asked is None:
        asked = _Asked(_looked_up(name), loop.time())
        if known is not None:
            known[name] = asked
    left_s = asked.at_s + TIMEOUT_S - loop.time()
    # Others may wait for the same answer, so nobody's end may cancel it.
    await asyncio.wait({asked.answer}, timeout=max(left_s, 0.0))
    if asked.answer.done():
        return asked.answer.result()
    detail = f"no answer in {TIMEOUT_S:g} s"
    return LookedUp((), TIMEOUT_S, Unresolved(f"the look-up of {name}", TIMEOUT_S, detail))


async def resolve_or_none(host: str) -> list[str]:
    """The same; empty where the name has none."""
    try:
        return await resolve(host)
    except NetworkError:
        return []


def routed(addresses: list[str]) -> list[str]:
    """Those to which this machine has a route; all of them where it has one to none.

    Names have IPv6 addresses whether or not this machine has IPv6: what it cannot try says nothing about the name.
    """
    return [address for address in addresses if has_route(address)] or addresses


def has_route(address: str) -> bool:
    """Whether this machine's routing table leads to an address. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((address, _ANY_PORT))
    except OSError:
        return False
    return True


def _looked_up(host: str) -> asyncio.Future[LookedUp]:
    """The answer of getaddrinfo, in a thread of its own.

    Nobody can stop getaddrinfo: a loop's own pool would be waited for when the program ends, and with a name server
    that is silent that takes half a minute; a daemon thread is left behind.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[LookedUp] = loop.create_future()

    def tell(found: LookedUp) -> None:
        if not answer.done():
            answer.set_result(found)

    def look_up_here() -> None:
        found = _found(host)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=look_up_here, name="look-up", daemon=True).start()
    return answer


def _found(host: str) -> LookedUp:
    """What the system says, or why it says nothing; blocks."""
    began_s = time.monotonic()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # UnicodeError, for what IDNA cannot encode, is a ValueError
        trouble = Unresolved(f"the look-up of {host}", detail=reason_of(error, "no such name"))
        is_final = not isinstance(error, OSError) or error.errno in _NO_SUCH_NAME
        return LookedUp((), time.monotonic() - began_s, trouble, is_final)
    addresses = tuple(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))
    return LookedUp(addresses, time.monotonic() - began_s)
