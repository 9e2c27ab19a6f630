"""Values as people write them, wherever they stand: an option, the environment, the site file.

Each function gets the text and `origin`, the name of the place ("--stun", "site.toml:12 (stun.servers)"), and either
returns the value or raises UsageError with one sentence. None touches the network, and none repeats a text that may
hold a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from calls_doctor.errors import UsageError
from calls_doctor.model.flow import Role, bracketed
from calls_doctor.model.site import Mode, ServerUri
from calls_doctor.model.words import did_you_mean, nearest

DEFAULT_PORTS = {"stun": 3478, "stuns": 5349, "turn": 3478, "turns": 5349}
"""RFC 7064 section 3.2, RFC 7065 section 3.2."""
VANTAGES = (Role.CLIENT, Role.MATTERMOST, Role.MEDIA, Role.TURN, Role.OFFLOADER)
DURATION_MAX_S = 30 * 86400.0
SHOWN_CHARS = 60
"""How much of a wrong text its sentence repeats."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|)", re.ASCII)
_PORT = re.compile(r"\d{1,5}", re.ASCII)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)

E = TypeVar("E", bound=StrEnum)


def shown(text: str) -> str:
    """A wrong text as its sentence repeats it: short, printable, and not at all where it may hold what is secret."""
    if "@" in text:
        return "the value (it holds an @, so it is not repeated here)"
    if "calls-doctor://" in text:
        return "the value (it is a pairing link, so it is not repeated here)"
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return f'"{printable if len(printable) <= SHOWN_CHARS else printable[: SHOWN_CHARS - 3] + "..."}"'


def word(text: str, valid: Iterable[E], origin: str) -> E:
    """One word of a closed set."""
    words = {str(member): member for member in valid}
    if text in words:
        return words[text]
    raise UsageError(f"{origin}: {shown(text)} is not known; {did_you_mean(text, words)}")


def mode(text: str, origin: str = "--mode") -> Mode:
    """One of the six deployment modes."""
    return word(text, Mode, origin)


def vantage(text: str, origin: str = "--from") -> Role:
    """The role of the machine on which the doctor runs."""
    return word(text, VANTAGES, origin)


def duration_s(text: str, origin: str, *, minimum_s: float = 0.0) -> float:
    """`500ms`, `3s`, `2m`; a bare number is seconds."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{origin}: {shown(text)} is not a duration; write 500ms, 3s, 2m or a number of seconds")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if seconds > DURATION_MAX_S:
        raise UsageError(f"{origin}: {shown(text)} is longer than 30 days")
    if seconds < minimum_s:
        raise UsageError(f"{origin}: {shown(text)} is too short; at least {minimum_s:g}s are needed")
    return seconds


def port(text: str, origin: str) -> int:
    """A port number from 1 to 65535."""
    if _PORT.fullmatch(text) and 1 <= int(text) <= 65535:
        return int(text)
    raise UsageError(f"{origin}: {shown(text)} is not a port; a port is a number from 1 to 65535")


def port_range(text: str, origin: str) -> tuple[int, int]:
    """`49152-65535`: first and last port, both included."""
    first, dash, last = text.partition("-")
    if not dash:
        raise UsageError(f"{origin}: {shown(text)} is not a range of ports; write it as 49152-65535")
    ports = port(first.strip(), origin), port(last.strip(), origin)
    if ports[0] > ports[1]:
        raise UsageError(f"{origin}: the range of ports {shown(text)} runs backwards")
    return ports


def host(text: str, origin: str) -> str:
    """A host name or an IP address literal (IPv6 with or without brackets); names come back in ASCII (RFC 5891) and in
    small letters, since they differ in nothing else (RFC 4343)."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        return _address(bare, origin)
    try:
        name = bare.encode("idna").decode() if not bare.isascii() else bare
    except UnicodeError:
        raise UsageError(f"{origin}: {shown(text)} is not a host name") from None
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UsageError(f"{origin}: {shown(text)} is not a host name")
    # No top-level domain is a number (RFC 3696 section 2), so this was meant to be an IPv4 address.
    return _address(name, origin) if labels[-1].isdigit() else name.lower()


def _address(text: str, origin: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"{origin}: {shown(text)} is not an IP address") from None


def host_and_port(text: str, origin: str, default_port: int) -> tuple[str, int]:
    """`host`, `host:port`, `[IPv6]:port`."""
    if _is_ipv6(text):
        raise UsageError(f"{origin}: put the IPv6 address {shown(text)} into square brackets")
    match = _HOST_AND_PORT.fullmatch(text)
    if not match or not (match["ipv6"] or match["host"]):
        raise UsageError(f"{origin}: {shown(text)} is not a host with an optional port; write host:{default_port}")
    name = _address(match["ipv6"], origin) if match["ipv6"] else host(match["host"], origin)
    return name, default_port if match["port"] is None else port(match["port"], origin)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def stun_uri(text: str, origin: str = "--stun") -> ServerUri:
    """`stun:host[:port]` or `stuns:host[:port]` (RFC 7064 section 3.1)."""
    scheme, rest = _split_uri(text, ("stun", "stuns"), origin)
    if "?" in rest:
        raise UsageError(f"{origin}: a {scheme}: URI has no ?query; write {scheme}:host:{DEFAULT_PORTS[scheme]}")
    name, number = host_and_port(rest, origin, DEFAULT_PORTS[scheme])
    return ServerUri(scheme=scheme, host=name, port=number, transport="tls" if scheme == "stuns" else "udp")


def turn_uri(text: str, origin: str = "--turn") -> ServerUri:
    """`turn:host[:port][?transport=udp|tcp]` or `turns:...`, which is TLS over TCP (RFC 7065 section 3.1)."""
    scheme, rest = _split_uri(text, ("turn", "turns"), origin)
    rest, question, query = rest.partition("?")
    transport = _transport(scheme, query, origin) if question else {"turn": "udp", "turns": "tls"}[scheme]
    name, number = host_and_port(rest, origin, DEFAULT_PORTS[scheme])
    return ServerUri(scheme=scheme, host=name, port=number, transport=transport)


def _transport(scheme: str, query: str, origin: str) -> str:
    key, _, value = query.partition("=")
    if key.lower() != "transport" or value.lower() not in ("udp", "tcp"):
        raise UsageError(f"{origin}: {shown('?' + query)} is not known; write ?transport=udp or ?transport=tcp")
    if scheme == "turn":
        return value.lower()
    if value.lower() == "udp":
        raise UsageError(f"{origin}: turns: over UDP is DTLS, which callers do not use; write ?transport=tcp")
    return "tls"


def _split_uri(text: str, schemes: tuple[str, str], origin: str) -> tuple[str, str]:
    """Scheme and the rest; the sentence for a wrong scheme shows the right form and what was probably meant."""
    if "@" in text:
        raise UsageError(f"{origin}: a {schemes[0]}: URI holds no credentials; give them in CALLS_DOCTOR_TURN_...")
    scheme, colon, rest = text.strip().partition(":")
    scheme = scheme.lower()
    form = f"{schemes[0]}:host:{DEFAULT_PORTS[schemes[0]]}"
    if not colon or scheme not in DEFAULT_PORTS:
        near = nearest(scheme, schemes) if colon else None
        hint = f'did you mean "{near}:"?' if near else f"write {form}"
        raise UsageError(f"{origin}: {shown(text)} is not a {schemes[0]}: URI; {hint}")
    if scheme not in schemes:
        raise UsageError(f"{origin}: {shown(text)} is a {scheme}: URI where a {schemes[0]}: URI belongs")
    if rest.startswith("//"):
        raise UsageError(f"{origin}: {shown(text)} has // after the scheme; write {form}")
    return scheme, rest


def http_url(text: str, origin: str) -> str:
    """`http://host[:port][/path]` or `https://...`, with neither credentials nor query; a closing slash is dropped."""
    if "@" in text:
        raise UsageError(f"{origin}: a URL holds no credentials here; give them in the environment")
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise UsageError(f"{origin}: {shown(text)} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(f"{origin}: {shown(text)} is not a URL; write http://host:port or https://host:port")
    if parts.query or parts.fragment:
        raise UsageError(f"{origin}: {shown(text)} has a query or a fragment, which this URL cannot have")
    if not (parts.path.isascii() and parts.path.isprintable() and " " not in parts.path):
        raise UsageError(f"{origin}: the path of {shown(text)} holds what a path cannot hold")
    default = {"http": 80, "https": 443}[parts.scheme]
    name, number = host_and_port(parts.netloc, origin, default)
    return f"{parts.scheme}://{bracketed(name)}{'' if number == default else f':{number}'}{parts.path.rstrip('/')}"


def pair(text: str, origin: str, *, value_needed: bool = True) -> tuple[str, str]:
    """`KEY=VALUE`; where the value may be left out (`--skip ID[=REASON]`), it is ""."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not key or (value_needed and not equals):
        raise UsageError(f"{origin}: {shown(text)} is not KEY{'=VALUE' if value_needed else '[=VALUE]'}")
    return key, value.strip()
