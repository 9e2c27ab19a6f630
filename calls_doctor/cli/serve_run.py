"""What `calls-doctor serve` does: checks its ports, prints its links, tells of each report, writes them merged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any  # click hands over its options by name

import click
from msgspec import structs

from calls_doctor import conclusion, merging
from calls_doctor.cli import output as out
from calls_doctor.cli.interrupt import run_interruptible
from calls_doctor.errors import UsageError
from calls_doctor.model.books import RunBooks
from calls_doctor.model.flow import Role, Transport, address_class, is_literal
from calls_doctor.model.report import Report
from calls_doctor.model.site import MediaAddress, Site
from calls_doctor.modes import MEDIA_PORT, WITHOUT_RTCD
from calls_doctor.net.local_ports import can_bind, local_addresses, port_owner
from calls_doctor.net.occupant import what_answers
from calls_doctor.site import options
from calls_doctor.site.environment import PEER
from calls_doctor.site.gather import gather, links_of
from calls_doctor.site.request import Request
from calls_doctor.standin.joining import Joining
from calls_doctor.standin.serving import Served, Serving
from calls_doctor.standin.strangers import StrangerWatch
from calls_doctor.wire.direct import Link
from checks import CHECKS
from reports import FORMATS
from reports.style import clean

PARTS = ("media", "api", "turn")
FOREVER = "forever"
RECEIPT_AGAIN_S = 0.6
"""A client whose receipt was lost asks again for half a second; then the last report may end it."""


def run(asked: dict[str, Any]) -> int:
    """Serves, and gives the exit code. Raises UsageError where it cannot start."""
    targets = [one for one in out.targets("text", asked["outputs"]) if one.path != out.STDOUT]
    duration_s = None if asked["duration"] == FOREVER else options.duration_s(asked["duration"], "--for", minimum_s=1.0)
    served = _served(asked)
    _refuse_taken_ports(served)
    links, _ = links_of(asked["peers"], {})
    collected = run_interruptible(_serve(served, duration_s, links, once=asked["once"]))
    if targets:
        merged = merging.merged(collected.reports, collected.books, served.site, collected.peer)
        out.write(lambda name, how: FORMATS[name](merged, how), targets, out.style_for(sys.stdout, no_color=True))
    return 0


@dataclass(frozen=True)
class _Collected:
    """What is left when the stand-in has ended."""

    reports: list[Report]
    books: RunBooks | None
    peer: str
    """HOST:PORT, "" where it never stood."""


async def _serve(served: Served, duration_s: float | None, links: Sequence[Link], *, once: bool) -> _Collected:
    """Until the time is up, the first report has come (`once`), or somebody ends it."""
    came = asyncio.Event()

    def heard(report: Report) -> None:
        if not report.vantages:
            _tell("the books of a stand-in that joined have come")
            return
        came.set()
        joining.add(report)
        _tell(f"{_vantages(report)}: {report.verdict}" + "".join(f"; {one.cause}" for one in report.diagnosis))
        _tell_what_is_missing(serving)

    serving, joining = Serving(served, heard, StrangerWatch(_tell)), Joining(links, _tell)
    try:
        async with serving:
            _print_links(serving)
            joining.greet()
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(duration_s):
                    await (came.wait() if once else asyncio.Event().wait())
                    await asyncio.sleep(RECEIPT_AGAIN_S)
            books = serving.books()
            if books.foreign_runs or books.bad_integrity:
                _tell(f"{books.foreign_runs} requests with another run's link, {books.bad_integrity} with a wrong key")
            collected = _Collected(serving.reports, books, serving.links()[0].shown)
        with contextlib.suppress(asyncio.CancelledError):  # what was collected is written all the same
            await joining.end(merging.collected(books))  # complete now: this stand-in is no more
        return collected
    except OSError as error:
        raise UsageError(f"the stand-in could not start: {error.strerror or error}") from None
    except asyncio.CancelledError:  # ended before it stood
        return _Collected([], None, "")


def _served(asked: dict[str, Any]) -> Served:
    own = {name: value for name, value in os.environ.items() if name != PEER}  # a link of a check made here
    gathered = gather(Request(site=asked["site"]), own)
    site = structs.replace(gathered.site, vantage=Role.MEDIA)
    for note in gathered.notes:
        _tell(note)
    parts = tuple(out.one_of(part, PARTS, "--as") for part in asked["parts"])
    if not parts:
        parts = ("media",) if site.mode in WITHOUT_RTCD else ("media", "api")
    for part in PARTS:
        if (number := asked[f"{part}_port"]) or part != "media":
            options.port(str(number), f"--{part}-port")
    port = asked["media_port"] or _number(site, "media.udp_port")
    hosts = [options.host(text, "--host") for text in asked["hosts"]]
    if hosts:
        tcp_port = port if _number(site, "media.tcp_port") else 0
        media = tuple(MediaAddress(host=host, udp_port=port, tcp_port=tcp_port) for host in hosts)
        site = structs.replace(site, media=media)
    local = [_own(options.host(text, "--bind")) for text in asked["binds"]] or _addresses()
    return Served(
        site=site,
        local=tuple(local),
        parts=frozenset(parts),
        media_port=port,
        api_port=asked["api_port"],
        turn_port=asked["turn_port"],
        turn_secret=gathered.credentials.turn_secret,
    )


def _number(site: Site, name: str) -> int:
    """A port of the site file; the standard one where it names none."""
    found = site.settings.get(name)
    return found.value if found is not None and isinstance(found.value, int) else MEDIA_PORT


def _own(address: str) -> str:
    """Raises UsageError where this machine can bind nothing there."""
    if not is_literal(address) or can_bind(Transport.UDP, address, 0) is not None:
        raise UsageError(f"--bind: {address} is no address of this machine; it has {', '.join(local_addresses())}")
    return address


def _addresses() -> list[str]:
    """Every address of this machine by which others can come; loopback where there is no other."""
    found = local_addresses()
    usable = [one for one in found if not address_class(one).is_loopback and not one.lower().startswith("fe80")]
    return usable or [one for one in found if address_class(one).is_loopback]


def _refuse_taken_ports(served: Served) -> None:
    """Raises UsageError with the owner of a port that is taken, and how a live service is checked instead."""
    wanted = {"media": served.media_port, "api": served.api_port, "turn": served.turn_port}
    for part in sorted(served.parts):
        for transport in (Transport.UDP, Transport.TCP) if part != "api" else (Transport.TCP,):
            for address in served.local:
                error = can_bind(transport, address, wanted[part])
                if error is not None:
                    raise UsageError(_taken(transport, address, wanted[part], error))


def _taken(transport: Transport, address: str, port: int, error: OSError) -> str:
    owner = port_owner(transport, address, port)
    if owner is None:
        return f"{transport.upper()} {port} on {address} cannot be had: {os.strerror(error.errno or 0)}"
    answers = asyncio.run(what_answers((address, port), transport))
    as_what = f", which answers as {clean(answers)}" if answers else ""
    live = "; where that is Calls itself, check it live: calls-doctor check --rtcd-url http://HOST:8045"
    return f"{transport.upper()} {port} on {address} belongs to {owner}{as_what}{live}"


def _print_links(serving: Serving) -> None:
    """On stdout, all together, each whole on one line; what to do with them on stderr."""
    links = serving.links()
    click.echo("\n".join(str(link) for link in links))
    sys.stdout.flush()
    _tell_what_is_missing(serving)
    if all(address_class(link.address).is_loopback for link in links):
        _tell("these links are for a trial on this machine alone: callers elsewhere need --host NAME|ADDRESS")
    elif all(address_class(link.address).is_private for link in links):
        _tell("these addresses are private: callers elsewhere need the public one, --host NAME|ADDRESS")


def _tell_what_is_missing(serving: Serving) -> None:
    """From where nobody has looked yet, with the command for it; the link whole, since this is what hands it out."""
    site, link = serving.site, serving.links()[0]
    seen = [vantage for report in serving.reports for vantage in report.vantages]
    rtcd_url = site.rtcd_url or f"http://{link.shown.rpartition(':')[0]}:{serving.api_port}"
    rows = conclusion.missing(site.mode, seen, CHECKS, peer=shlex.quote(str(link)), rtcd_url=rtcd_url)
    for row in rows:
        _tell(f"nobody looked from {row['vantage']} yet; there: {row['command']}")
    if not rows:
        _tell("no vantage is missing; more callers, from other networks, tell more")


def _vantages(report: Report) -> str:
    return ", ".join(f"{one.role} {one.label or one.public_address}".strip() for one in report.vantages)


def _tell(text: str) -> None:
    click.echo(f"calls-doctor: {clean(text)}", err=True)
