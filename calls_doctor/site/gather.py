"""The site from all its sources: what was asked on the command line, and the environment. Each value with its origin.

It reads the environment, the files that it names, and standard input where a link is to come from there. It touches
no network.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from calls_doctor.errors import UsageError, reason_of
from calls_doctor.model.credentials import Credentials
from calls_doctor.model.flow import Role, is_literal
from calls_doctor.model.site import MediaAddress, Mode, Phase, Setting, SettingValue, Site
from calls_doctor.modes import WITHOUT_RTCD
from calls_doctor.site import environment as env
from calls_doctor.site import file as site_file
from calls_doctor.site import options
from calls_doctor.site.request import Request

if TYPE_CHECKING:
    from calls_doctor.wire.direct import Link

LINKS_MAX_BYTES = 65536
TARGETS = ("media.hosts", "mattermost.url", "rtcd.url", "stun.servers", "turn.servers")
"""Settings that name something to test."""
PHASES = (Phase.PRE, Phase.POST, Phase.UNDETERMINED)
"""Those that --phase may name: the self-test has an option of its own, and files alone are no network."""


@dataclass(frozen=True)
class Gathered:
    """All that is known before anything is probed."""

    site: Site
    credentials: Credentials
    links: tuple[Link, ...]
    """Those of the stand-ins that are to be tested; one key is one media host, at several addresses."""
    self_test: bool
    """Nothing was named to be tested, or the self-test was asked for."""
    names_a_target: bool
    """False for the self-test, and for a mode alone, which can be planned and not run."""
    notes: tuple[str, ...]
    """Sentences about what was given and has no effect."""


def gather(request: Request, environment: Mapping[str, str]) -> Gathered:
    """Reads every source: the command line goes before the environment, and that before the site file.

    Raises UsageError.
    """
    if request.self_test and (request.peers or request.site or _names_something(request) or request.mode):
        raise UsageError("--self-test tests this machine against itself; leave out what names something else")
    links, link_origin = ((), "") if request.self_test else links_of(request.peers, environment)
    settings = _settings(request, links, link_origin)
    told = {name: setting.value for name, setting in settings.items()}
    site = _site(request, told, links)
    in_file = any(told.get(name) for name in TARGETS)
    names_a_target = bool(links or _names_something(request) or in_file)
    self_test = request.self_test or (not names_a_target and site.mode is None)
    notes = _notes(request, environment, self_test, site.mode) + site_file.unused(settings, site.mode)
    return Gathered(
        site=structs.replace(site, settings=settings | env.settings(environment)),
        credentials=env.credentials(environment),
        links=links,
        self_test=self_test,
        names_a_target=names_a_target,
        notes=tuple(notes),
    )


def _names_something(request: Request) -> bool:
    return bool(request.mattermost or request.rtcd_url or request.stun or request.turn)


def _settings(request: Request, links: tuple[Link, ...], link_origin: str) -> dict[str, Setting]:
    """What was told, by dotted name, with where."""
    path = _site_path(request)
    settings = site_file.read(path) if path else {}
    vantage, reason = _vantage(request.vantage)
    given: dict[str, tuple[SettingValue, str]] = {
        "mode": (str(options.mode(request.mode)) if request.mode else None, "--mode"),
        "from": (str(vantage), "--from" if request.vantage else f"default: {reason}"),
        "phase": (request.phase or None, "--phase"),
        "mattermost.url": (
            options.http_url(request.mattermost, "--mattermost") if request.mattermost else None,
            "--mattermost",
        ),
        "rtcd.url": (options.http_url(request.rtcd_url, "--rtcd-url") if request.rtcd_url else None, "--rtcd-url"),
        "stun.servers": ([str(options.stun_uri(text)) for text in dict.fromkeys(request.stun)] or None, "--stun"),
        "turn.servers": ([str(options.turn_uri(text)) for text in dict.fromkeys(request.turn)] or None, "--turn"),
        "peers": ([link.shown for link in links] or None, link_origin),
    }
    return settings | {name: Setting(value=value, origin=origin) for name, (value, origin) in given.items() if value}


def _site_path(request: Request) -> Path | None:
    """The site file: the one that was named, else `./calls-doctor.toml` if it is there and nothing forbids it."""
    if request.site:
        return Path(request.site)
    default = Path(site_file.DEFAULT_NAME)
    return default if default.is_file() and not request.self_test else None


def _site(request: Request, told: Mapping[str, SettingValue], links: tuple[Link, ...]) -> Site:
    """The site that these settings describe; each was judged where it was read."""

    def text(name: str) -> str:
        return str(told.get(name) or site_file.KEYS[name].default)

    def texts(name: str) -> list[str]:
        value = told.get(name) or site_file.KEYS[name].default
        return value if isinstance(value, list) else []

    def number(name: str) -> int:
        value = told.get(name, site_file.KEYS[name].default)
        assert isinstance(value, int), "the site file's table has judged it"
        return value

    vantage, reason = _vantage(request.vantage)
    udp_port, tcp_port = number("media.udp_port"), number("media.tcp_port")
    hosts = tuple(MediaAddress(host=host, udp_port=udp_port, tcp_port=tcp_port) for host in texts("media.hosts"))
    linked = tuple(
        MediaAddress(host=link.address, udp_port=link.port, tcp_port=link.port if tcp_port else 0) for link in links
    )
    return Site(
        mode=options.mode(text("mode")) if text("mode") else None,
        vantage=vantage,
        vantage_reason=reason,
        phase=_phase(request.phase, paired=bool(links)),
        users=text("users"),
        paired=bool(links),
        media=linked or hosts,
        media_beside_links=_beside(links, told, hosts, udp_port, tcp_port) if links else (),
        media_names=_names(links, texts("media.hosts")),
        host_override=text("media.host_override"),
        host_port_override=number("media.host_port_override"),
        nat=tuple((public, private) for public, _, private in (pair.partition("/") for pair in texts("media.nat"))),
        mattermost_url=text("mattermost.url"),
        rtcd_url=text("rtcd.url"),
        stun=tuple(options.stun_uri(uri) for uri in texts("stun.servers")),
        turn=tuple(options.turn_uri(uri) for uri in texts("turn.servers")),
        credential_minutes=number("turn.credential_minutes"),
        relay_ports=options.port_range(text("turn.relay_ports"), "turn.relay_ports"),
        client_networks=tuple(texts("networks.clients")),
        mattermost_networks=tuple(texts("networks.mattermost")),
    )


def _names(links: tuple[Link, ...], hosts: Sequence[str]) -> tuple[str, ...]:
    """Without the addresses among them."""
    every = dict.fromkeys([*(link.name for link in links), *hosts])
    return tuple(name for name in every if name and not is_literal(name))


def _beside(
    links: tuple[Link, ...],
    told: Mapping[str, SettingValue],
    hosts: tuple[MediaAddress, ...],
    udp_port: int,
    tcp_port: int,
) -> tuple[MediaAddress, ...]:
    """What `[media] hosts`, `nat` and the overrides name beside the links, which carry name and address of their own.
    Where a port override is named, both ports: which of them leads to the media host is what is tested."""
    pairs, override = told.get("media.nat"), str(told.get("media.host_override") or "")
    port = told.get("media.host_port_override") or udp_port
    assert isinstance(port, int), "the site file's table has judged it"
    publics = [pair.partition("/")[0] for pair in pairs] if isinstance(pairs, list) else []
    named = [*hosts, *(MediaAddress(host=one, udp_port=udp_port, tcp_port=tcp_port) for one in publics)]
    announced = [override] if override else [one.host for one in named] if port != udp_port else []
    named += [MediaAddress(host=one, udp_port=port, tcp_port=port if tcp_port else 0) for one in announced]
    linked = {(host, link.port) for link in links for host in (link.address, link.name)}
    return tuple(one for one in dict.fromkeys(named) if (one.host, one.udp_port) not in linked)


def _notes(request: Request, environment: Mapping[str, str], self_test: bool, mode: Mode | None) -> list[str]:
    idle = {"--from": request.vantage, "--phase": request.phase, "--wait": request.wait_s} if self_test else {}
    notes = [f"{option} has no effect in the self-test" for option, value in idle.items() if value]
    if mode in WITHOUT_RTCD and request.rtcd_url:
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


def links_of(texts: tuple[str, ...], environment: Mapping[str, str]) -> tuple[tuple[Link, ...], str]:
    """The pairing links and where they came from. An option goes before the environment."""
    origin = "--peer" if texts else env.PEER
    words = [word for text in texts for word in _words(text)] if texts else env.peers(environment)
    if not words:
        return (), origin
    from calls_doctor.wire.direct import parse_link

    try:
        return tuple(parse_link(word) for word in dict.fromkeys(words)), origin
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
        raise UsageError(f"--peer: {path} cannot be read: {reason_of(error, 'it is no text file')}") from None
