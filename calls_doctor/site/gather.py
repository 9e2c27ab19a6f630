"""The site from all its sources: what was asked on the command line, and the environment. Each value with its origin.

It reads the environment and the files that it names. It touches no network.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from calls_doctor.errors import UsageError
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Mode, Phase, Setting, SettingValue, Site
from calls_doctor.site import environment as env
from calls_doctor.site import options

if TYPE_CHECKING:
    from calls_doctor.wire.direct import Link

LINKS_MAX_BYTES = 65536


class Asked(Protocol):
    """What the command line asked for, as text."""

    @property
    def mode(self) -> str: ...
    @property
    def vantage(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def peers(self) -> Sequence[str]: ...
    @property
    def rtcd_url(self) -> str: ...
    @property
    def stun(self) -> Sequence[str]: ...
    @property
    def turn(self) -> Sequence[str]: ...
    @property
    def self_test(self) -> bool: ...


@dataclass(frozen=True)
class Gathered:
    """All that is known before anything is probed."""

    site: Site
    credentials: Credentials
    links: tuple[Link, ...]
    self_test: bool
    """Nothing was named to be tested, or the self-test was asked for."""
    names_a_target: bool
    """False for a mode alone, which can be planned and not run."""
    warnings: tuple[str, ...]


def gather(asked: Asked, environment: Mapping[str, str]) -> Gathered:
    """Reads every source. Raises UsageError."""
    settings: dict[str, Setting] = {}

    def note(name: str, value: SettingValue, origin: str) -> None:
        settings[name] = Setting(value=value, origin=origin)

    mode = options.mode(asked.mode) if asked.mode else None
    if mode:
        note("mode", str(mode), "--mode")
    rtcd_url = options.http_url(asked.rtcd_url, "--rtcd-url") if asked.rtcd_url else ""
    if rtcd_url:
        note("rtcd.url", rtcd_url, "--rtcd-url")
    stun = tuple(options.stun_uri(text) for text in asked.stun)
    turn = tuple(options.turn_uri(text) for text in asked.turn)
    if stun:
        note("stun.servers", [str(uri) for uri in stun], "--stun")
    if turn:
        note("turn.servers", [str(uri) for uri in turn], "--turn")
    links, origin = _links(asked.peers, environment)
    if links:
        note("media.hosts", [link.shown for link in links], origin)
    credentials = env.credentials(environment)
    names_a_target = bool(links or rtcd_url or stun or turn)
    if asked.self_test and (names_a_target or mode):
        raise UsageError("--self-test tests this machine against itself; leave out what names something else")
    vantage, reason = _vantage(asked.vantage, mode)
    site = Site(
        mode=mode,
        vantage=vantage,
        vantage_reason=reason,
        label=asked.label,
        phase=_phase(asked.phase, bool(links)),
        media=tuple(MediaAddress(host=link.address, udp_port=link.port, tcp_port=link.port) for link in links[:1]),
        rtcd_url=rtcd_url,
        stun=stun,
        turn=turn,
        settings=settings | env.settings(environment),
    )
    is_self_test = not names_a_target and mode is None
    return Gathered(site, credentials, links, is_self_test, names_a_target, tuple(env.warnings(environment)))


def _vantage(text: str, mode: Mode | None) -> tuple[Role, str]:
    if text:
        return options.vantage(text), "--from says so"
    return Role.CLIENT, f"nothing told otherwise{' (--from names another)' if mode else ''}"


def _phase(text: str, paired: bool) -> Phase:
    if text:
        return options.word(text, (Phase.PRE, Phase.POST, Phase.UNDETERMINED), "--phase")
    return Phase.PRE if paired else Phase.UNDETERMINED


def _links(texts: Sequence[str], environment: Mapping[str, str]) -> tuple[tuple[Link, ...], str]:
    """The pairing links, and where they came from. An option goes before the environment."""
    origin = "--peer" if texts else env.PEER
    words = [word for text in texts for word in _words(text)] if texts else env.peers(environment)
    if not words:
        return (), origin
    from calls_doctor.wire.direct import parse_link

    links = tuple(parse_link(word) for word in words)
    if len({link.keys.run for link in links}) > 1:
        raise UsageError(f"{origin}: the links belong to several stand-ins; give the links of one")
    return links, origin


def _words(text: str) -> list[str]:
    """A link as it stands, `-` for standard input, `@FILE` for a file; several in one place by white space."""
    if text == "-":
        return sys.stdin.read(LINKS_MAX_BYTES).split()
    if text.startswith("@"):
        try:
            with Path(text[1:]).open(encoding="utf-8") as file:
                found = file.read(LINKS_MAX_BYTES).split()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise UsageError(f"--peer: {text[1:]} cannot be read: {reason}") from None
        if not found:
            raise UsageError(f"--peer: {text[1:]} holds no link")
        return found
    return [text]
