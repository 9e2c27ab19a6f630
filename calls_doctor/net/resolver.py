"""Names to addresses, by the system's own resolver: what calls on this machine would use."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from calls_doctor.errors import Silence, Unreachable

TIMEOUT_S = 5.0


async def resolve(host: str) -> list[str]:
    """Every address of a name, in the system's order of preference; an address literal is its own.

    Raises Unreachable where the name has none or cannot be looked up, Silence where no answer comes in TIMEOUT_S.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Silence(f"the look-up of {host}", TIMEOUT_S) from None
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no such name"
        raise Unreachable(f"the look-up of {host}", detail=reason) from None
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))
