"""Which proxy a program written in Go takes for a URL, by the environment: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as
golang.org/x/net/http/httpproxy reads them, which Mattermost and its plugins use. Pure.

A proxy is told without the user name and password that its URL may hold.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from calls_doctor.model.flow import shown

VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
_PORTS = {"http": 80, "https": 443}
_PROXY_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True)
class Choice:
    """What the environment says of one URL."""

    variable: str = ""
    """The variable that names a proxy for it; "" where none does."""
    proxy: str = ""
    """SCHEME://HOST:PORT of that proxy, and nothing else of what stands there."""
    exempt_by: str = ""
    """The entry of NO_PROXY that spares it, or "loopback"; "" where the proxy is taken."""

    @property
    def is_caught(self) -> bool:
        """True where a request to it goes to the proxy."""
        return bool(self.variable) and not self.exempt_by


def choice(url: str, environment: Mapping[str, str]) -> Choice:
    """For an http or https URL; what a WebSocket does is the same. The upper-case name of a variable counts first."""
    asked = urlsplit(url)
    names = ("HTTPS_PROXY", "https_proxy") if asked.scheme == "https" else ("HTTP_PROXY", "http_proxy")
    variable = next((name for name in names if environment.get(name)), "")
    if not variable or not asked.hostname:
        return Choice()
    no_proxy = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    port = _port(asked) or _PORTS.get(asked.scheme, 0)
    return Choice(variable, _without_credentials(environment[variable]), _exempt_by(asked.hostname, port, no_proxy))


def _port(url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError:
        return None


def _without_credentials(proxy: str) -> str:
    """A proxy without a scheme speaks HTTP."""
    try:
        found = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        port = found.port
    except ValueError:
        return ""
    # Where a password holds a slash, what looks like the host and port is the user name and the password.
    if not found.hostname or "@" in found.path + found.query + found.fragment:
        return ""
    return f"{found.scheme}://{shown((found.hostname, port or _PROXY_PORTS.get(found.scheme, 80)))}"


def _exempt_by(host: str, port: int, no_proxy: str) -> str:
    host = host.lower()
    address = _address(host)
    if host == "localhost" or (address and address.is_loopback):
        return "loopback"
    entries = (entry.strip().lower() for entry in no_proxy.split(","))
    return next((entry for entry in entries if entry and _spares(entry, host, port)), "")


def _spares(entry: str, host: str, port: int) -> bool:
    """A network spares addresses only: a name is not looked up for it."""
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, wanted = _name_and_port(entry)
    if wanted not in ("", str(port)):
        return False
    if (literal := _address(name)) is not None:
        return literal == address
    name = name[1:] if name.startswith("*.") else name
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _name_and_port(entry: str) -> tuple[str, str]:
    """`host`, `host:port`, `[v6]:port` or a bare IPv6 address."""
    if _address(entry) is not None:
        return entry, ""
    name, colon, port = entry.rpartition(":")
    return (name.strip("[]"), port) if colon and port.isdigit() else (entry.strip("[]"), "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
