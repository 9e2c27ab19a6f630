"""Names to addresses, by the system's own resolver: what calls on this machine would use."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading

from calls_doctor.errors import NetworkError, Unresolved, reason_of

TIMEOUT_S = 5.0
_ANY_PORT = 9
"""Connecting a UDP socket sends nothing, so no port is asked."""


async def resolve(host: str) -> list[str]:
    """Every address of a name, in the system's order of preference; an address literal is its own.

    Raises Unresolved where the name has none, cannot be looked up, or no answer comes in TIMEOUT_S.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _looked_up(host)
    except TimeoutError:
        raise Unresolved(f"the look-up of {host}", TIMEOUT_S, f"no answer in {TIMEOUT_S:g} s") from None


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


def _looked_up(host: str) -> asyncio.Future[list[str]]:
    """The answer of getaddrinfo, in a thread of its own.

    Nobody can stop getaddrinfo: a loop's own pool would be waited for when the program ends, and with a name server
    that is silent that takes half a minute; a daemon thread is left behind.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def tell(found: list[str] | NetworkError) -> None:
        if answer.done():
            return  # nobody waits any more
        if isinstance(found, NetworkError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def look_up() -> None:
        found = _addresses(host)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    return answer


def _addresses(host: str) -> list[str] | NetworkError:
    """What the system says, or why it says nothing; blocks."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # UnicodeError, for what IDNA cannot encode, is a ValueError
        return Unresolved(f"the look-up of {host}", detail=reason_of(error, "no such name"))
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))
