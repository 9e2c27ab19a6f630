"""The site file (contract section 3): TOML in, settings out, each with the line it stands on.

It reads one file and touches no network. Every key is a row of the table below; a key that is no row is an error that
names the nearest one. Values are judged here, so that what leaves this module is fit to be used.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # TOML holds values of every type

from calls_doctor.errors import UsageError, reason_of
from calls_doctor.model.site import Mode, ServerUri, Setting, SettingValue
from calls_doctor.model.words import did_you_mean
from calls_doctor.modes import MEDIA_PORT, WITHOUT_RTCD
from calls_doctor.site import options

SITE_FILE_MAX_BYTES = 262_144
DEFAULT_NAME = "calls-doctor.toml"
_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=")

Parse = Callable[[Any, str], SettingValue]


@dataclass(frozen=True)
class Key:
    """One key of the site file."""

    parse: Parse
    default: SettingValue
    modes: frozenset[Mode] = frozenset(Mode)
    """The modes that use it; in another it draws a warning."""


def _text(value: Any, origin: str) -> str:
    if isinstance(value, str):
        return value.strip()
    raise UsageError(f"{origin}: a text in quotes belongs here")


def _one_of(*words: str) -> Parse:
    def parse(value: Any, origin: str) -> str:
        text = _text(value, origin)
        if text in ("", *words):
            return text
        raise UsageError(f"{origin}: {options.shown(text)} is not known; {did_you_mean(text, words)}")

    return parse


def _number(least: int, most: int) -> Parse:
    def parse(value: Any, origin: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise UsageError(f"{origin}: a number from {least} to {most} belongs here")

    return parse


def _optional(parse: Callable[[str, str], Any]) -> Parse:
    """The text as `parse` has it; nothing where nothing is set."""

    def judge(value: Any, origin: str) -> str:
        text = _text(value, origin)
        return _as_text(parse(text, origin), text) if text else text

    return judge


def _list(parse: Callable[[str, str], Any]) -> Parse:
    def judge(value: Any, origin: str) -> list[str]:
        if not isinstance(value, list):
            raise UsageError(f'{origin}: a list belongs here, such as ["one", "two"]')
        texts = [_text(item, origin) for item in value]
        return list(dict.fromkeys(_as_text(parse(text, origin), text) for text in texts))

    return judge


def _as_text(parsed: Any, text: str) -> str:
    """The one spelling of what was parsed; the text itself where that is no text (a range of ports)."""
    return str(parsed) if isinstance(parsed, str | ServerUri) else text


def _address(text: str, origin: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(f"{origin}: {options.shown(text)} is not an IP address") from None


def _network(text: str, origin: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise UsageError(f"{origin}: {options.shown(text)} is not a network such as 10.0.1.0/24") from None


def _nat(value: Any, origin: str) -> list[str]:
    """Pairs of addresses as "public/private"."""
    if not isinstance(value, list) or not all(isinstance(pair, dict) for pair in value):
        raise UsageError(f'{origin}: write [{{ public = "203.0.113.20", private = "10.0.1.20" }}]')
    pairs = []
    for pair in value:
        for key in pair:
            if key not in ("public", "private"):
                raise UsageError(f"{origin}: {options.shown(key)} is not known; it is public or private")
        if set(pair) != {"public", "private"}:
            raise UsageError(f"{origin}: each pair of nat names public and private")
        pairs.append("/".join(_address(_text(pair[key], origin), origin) for key in ("public", "private")))
    return pairs


_RTCD_MODES = frozenset(Mode) - frozenset(WITHOUT_RTCD)
_PORT = _number(1, 65535)
_PORT_OR_NONE = _number(0, 65535)

KEYS: dict[str, Key] = {
    "mode": Key(_one_of(*Mode), ""),
    "users": Key(_one_of("public", "private", "hybrid"), "public"),
    "mattermost.url": Key(_optional(options.http_url), ""),
    "mattermost.nodes": Key(_list(_address), []),
    "mattermost.handler": Key(_optional(_address), "", frozenset({Mode.HA_HANDLER})),
    "mattermost.plugin_version": Key(_text, ""),
    "rtcd.url": Key(_optional(options.http_url), "", _RTCD_MODES),
    "rtcd.nodes": Key(_list(_address), [], _RTCD_MODES),
    "media.hosts": Key(_list(options.host), []),
    "media.udp_port": Key(_PORT, MEDIA_PORT),
    "media.tcp_port": Key(_PORT_OR_NONE, MEDIA_PORT),
    "media.host_override": Key(_optional(options.host), ""),
    "media.host_port_override": Key(_PORT_OR_NONE, 0),
    "media.nat": Key(_nat, []),
    "stun.servers": Key(_list(options.stun_uri), []),
    "turn.servers": Key(_list(options.turn_uri), []),
    "turn.auth": Key(_one_of("secret", "password"), "secret"),
    "turn.credential_minutes": Key(_number(1, 1_000_000), 1440),
    "turn.relay_ports": Key(_optional(options.port_range), "49152-65535"),
    "offloader.url": Key(_optional(options.http_url), ""),
    "kubernetes.values": Key(_text, "", frozenset({Mode.KUBERNETES})),
    "kubernetes.chart": Key(_text, "", frozenset({Mode.KUBERNETES})),
    "kubernetes.exposure": Key(_one_of("host-network", "load-balancer", "node-port"), "", frozenset({Mode.KUBERNETES})),
    "networks.clients": Key(_list(_network), ["0.0.0.0/0"]),
    "networks.mattermost": Key(_list(_network), []),
}


def read(path: Path) -> dict[str, Setting]:
    """The settings that stand in a file, by dotted name. Raises UsageError, which names file and line."""
    try:
        with path.open("rb") as file:
            data = file.read(SITE_FILE_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UsageError(f"{path}: the site file cannot be read: {reason_of(error, 'no such path')}") from None
    if len(data) > SITE_FILE_MAX_BYTES:
        raise UsageError(f"{path}: larger than {SITE_FILE_MAX_BYTES} bytes, so it is no site file")
    try:
        text = data.decode()
        tree = tomllib.loads(text)
    except UnicodeDecodeError:
        raise UsageError(f"{path}: the site file is not UTF-8 text") from None
    except ValueError as error:  # TOMLDecodeError, and a number of more digits than Python reads
        raise UsageError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{path}: not TOML: nested too deeply") from None
    lines = _lines(text)
    return {
        name: Setting(value=KEYS[name].parse(value, f"{path}:{line} ({name})"), origin=f"{path.name}:{line}")
        for name, value in _flat(tree, path, lines)
        for line in (lines.get(name, 1),)
    }


def unused(settings: Mapping[str, Setting], mode: Mode | None) -> list[str]:
    """A sentence for each setting that the mode does not use."""
    return [
        f"{setting.origin}: {name} is not used in mode {mode}"
        for name, setting in settings.items()
        if mode is not None and name in KEYS and mode not in KEYS[name].modes and setting.value not in ("", [], 0)
    ]


def _flat(tree: Mapping[str, Any], path: Path, lines: Mapping[str, int]) -> list[tuple[str, Any]]:
    """Dotted names with their values. Raises UsageError for a name that is no key."""
    tables = {name.split(".")[0] for name in KEYS if "." in name}
    found: list[tuple[str, Any]] = []
    for name, value in tree.items():
        if name in tables and isinstance(value, dict):
            found += [(f"{name}.{key}", inner) for key, inner in value.items()]
        else:
            found.append((name, value))
    for name, _ in found:
        if name not in KEYS:
            place = f"{path}:{lines.get(name, 1)}"
            if name in tables:
                raise UsageError(f"{place}: {name} is a table: write [{name}] and its keys below")
            hint = did_you_mean(name, [*KEYS, *sorted(tables)])
            raise UsageError(f"{place}: {options.shown(name)} is not known; {hint}")
    return found


def _lines(text: str) -> dict[str, int]:
    """Dotted name -> line number, as far as a look at each line tells (a key inside a multi-line text may fool it)."""
    table = ""
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = f"{header[1]}."
            lines.setdefault(header[1], number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}{key[1]}", number)
    return lines
