"""The site from all its sources: what was asked on the command line, and the environment. Each value with its origin.

It reads the environment, the files that it names, and standard input where a link is to come from there. It touches
no network.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calls_doctor.errors import UsageError
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.flow import Role
from calls_doctor.model.site import MediaAddress, Mode, Phase, Setting, Site
from calls_doctor.site import environment as env
from calls_doctor.site import options
from calls_doctor.site.request import Request

if TYPE_CHECKING:
    from calls_doctor.wire.direct import Link

LINKS_MAX_BYTES = 65536
PHASES = (Phase.PRE, Phase.POST, Phase.UNDETERMINED)
"""Those that --phase may name: the self-test has an option of its own, and files alone are no network."""


@dataclass(frozen=True)
class Gathered:
    """All that is known before anything is probed."""

    site: Site
    credentials: Credentials
    link: Link | None
    """The stand-in's, where one is to be tested."""
    self_test: bool
    """Nothing was named to be tested, or the self-test was asked for."""
    names_a_target: bool
    """False for the self-test, and for a mode alone, which can be planned and not run."""
    notes: tuple[str, ...]
    """Sentences about what was given and has no effect."""


def gather(request: Request, environment: Mapping[str, str]) -> Gathered:
    """Reads every source. Raises UsageError."""
    mode = options.mode(request.mode) if request.mode else None
    link, link_origin = (None, "") if request.self_test else _link(request.peers, environment)
    rtcd_url = options.http_url(request.rtcd_url, "--rtcd-url") if request.rtcd_url else ""
    stun = tuple(options.stun_uri(text) for text in dict.fromkeys(request.stun))
    turn = tuple(options.turn_uri(text) for text in dict.fromkeys(request.turn))
    names_a_target = bool(link or rtcd_url or stun or turn)
    if request.self_test and (names_a_target or mode or request.peers):
        raise UsageError("--self-test tests this machine against itself; leave out what names something else")
    vantage, reason = _vantage(request.vantage)
    given = {
        "mode": (str(mode) if mode else None, "--mode"),
        "from": (str(vantage), "--from" if request.vantage else f"default: {reason}"),
        "phase": (request.phase or None, "--phase"),
        "media.hosts": ([link.shown] if link else None, link_origin),
        "rtcd.url": (rtcd_url or None, "--rtcd-url"),
        "stun.servers": ([str(uri) for uri in stun] or None, "--stun"),
        "turn.servers": ([str(uri) for uri in turn] or None, "--turn"),
    }
    settings = {name: Setting(value=value, origin=origin) for name, (value, origin) in given.items() if value}
    site = Site(
        mode=mode,
        vantage=vantage,
        vantage_reason=reason,
        label=request.label,
        phase=_phase(request.phase, paired=link is not None),
        media=(MediaAddress(host=link.address, udp_port=link.port, tcp_port=link.port),) if link else (),
        rtcd_url=rtcd_url,
        stun=stun,
        turn=turn,
        settings=settings | env.settings(environment),
    )
    self_test = not names_a_target and mode is None
    return Gathered(
        site=site,
        credentials=env.credentials(environment),
        link=link,
        self_test=self_test,
        names_a_target=names_a_target,
        notes=tuple(_notes(request, environment, self_test, mode)),
    )


def _notes(request: Request, environment: Mapping[str, str], self_test: bool, mode: Mode | None) -> list[str]:
    idle = {"--from": request.vantage, "--phase": request.phase, "--wait": request.wait_s} if self_test else {}
    notes = [f"{option} has no effect in the self-test" for option, value in idle.items() if value]
    if mode in (Mode.INTEGRATED, Mode.HA_CLUSTERED, Mode.HA_HANDLER) and request.rtcd_url:
        notes.append(f"--rtcd-url: mode {mode} has no rtcd; it is tested all the same")
    return [*notes, *env.warnings(environment)]


def _vantage(text: str) -> tuple[Role, str]:
    """The role, and why it is that one."""
    if text:
        return options.vantage(text), "--from says so"
    return Role.CLIENT, "nothing told otherwise"


def _phase(text: str, *, paired: bool) -> Phase:
    if text:
        return options.word(text, PHASES, "--phase")
    return Phase.PRE if paired else Phase.UNDETERMINED


def _link(texts: tuple[str, ...], environment: Mapping[str, str]) -> tuple[Link | None, str]:
    """The pairing link and where it came from. An option goes before the environment."""
    origin = "--peer" if texts else env.PEER
    words = [word for text in texts for word in _words(text)] if texts else env.peers(environment)
    if not words:
        return None, origin
    if len(set(words)) > 1:
        raise UsageError(f"{origin}: this version tests one media host at one address; give one link")
    from calls_doctor.wire.direct import parse_link

    try:
        return parse_link(words[0]), origin
    except UsageError as error:
        raise UsageError(f"{origin}: {error}") from None


def _words(text: str) -> list[str]:
    """A link as it stands, `-` for standard input, `@FILE` for a file; several in one place by white space."""
    if text == "-":
        found, place = sys.stdin.read(LINKS_MAX_BYTES).split(), "standard input"
    elif text.startswith("@"):
        found, place = _read(text[1:]).split(), text[1:]
    else:
        return [text]
    if not found:
        raise UsageError(f"--peer: {place} holds no link")
    return found


def _read(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(LINKS_MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, or no UTF-8
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no text file"
        raise UsageError(f"--peer: {path} cannot be read: {reason}") from None
