"""`serve`: a stand-in on a host, what it tells of that host, and the reports of all that paired with it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Self, TypedDict

from calls_doctor.errors import NetworkError
from calls_doctor.model.books import RunBooks
from calls_doctor.model.credentials import Secret
from calls_doctor.model.facts import Facts, StunSeen
from calls_doctor.model.flow import Transport, address_class
from calls_doctor.model.report import Report
from calls_doctor.model.site import ServerUri, Site
from calls_doctor.net import resolver
from calls_doctor.net.local_ports import can_bind
from calls_doctor.sfu.rtcd_calls import Offered
from calls_doctor.sfu.rtcd_service import Channel
from calls_doctor.sfu.session import Association
from calls_doctor.standin import hosting
from calls_doctor.standin.hosting import Addresses, Reach
from calls_doctor.standin.launch import Options
from calls_doctor.standin.offered import offered
from calls_doctor.standin.server import PARTS, StandIn
from calls_doctor.standin.strangers import StrangerWatch
from calls_doctor.wire.direct import Link
from calls_doctor.wire.dtls import DtlsRole
from calls_doctor.wire.ice_lite import Desk
from calls_doctor.wire.turn import rest_credentials

if TYPE_CHECKING:
    from calls_doctor.net.name_look_up import NameSeen
    from calls_doctor.net.name_service import NameService

LOOK_UP_S = 0.7
"""Links are printed within a second; a name that takes longer is asked about again for the facts."""
STUN_AGAIN_S = 20.0
DATA_CHANNELS = "calls_doctor.net.sctp"
"""Loaded before the first call, which would wait a third of a second for it, and not before it is known to serve."""
LOOK_UP, NAME_SERVICE = "calls_doctor.net.name_look_up", "calls_doctor.net.name_service"
"""The same: dnspython takes a tenth of a second."""
REPORTS_MAX = 64
TURN_SECRET_BYTES = 24
CREDENTIAL_MINUTES_MAX = 1440
"""A day (contract section 4)."""


def _asks_stun(address: str) -> bool:
    """True for a local address whose mapping is of interest: IPv4, as rtcd asks, and on a network."""
    return "." in address and not address_class(address).is_loopback


@dataclass(frozen=True, kw_only=True)
class Served:
    """What is to be served."""

    site: Site
    local: tuple[str, ...]
    """The addresses to listen on."""
    parts: frozenset[str]
    """"media", "api", "turn"."""
    media_port: int
    api_port: int
    turn_port: int
    turn_secret: Secret | None = None
    """Of the site's own TURN servers."""


class _TurnFacts(TypedDict, total=False):
    """The facts about TURN."""

    turn_port: int
    turn_servers: list[ServerUri]
    turn_username: str
    turn_credential: str


class Serving:
    """`async with Serving(served, heard) as serving`; `heard` is told of each report as it comes,
    `strangers` of links that open nothing here."""

    def __init__(self, served: Served, heard: Callable[[Report], None], strangers: StrangerWatch | None = None) -> None:
        self._served, self._heard = served, heard
        self.reports: list[Report] = []
        """One for each run, the latest."""
        self._stun: list[StunSeen] = []
        self._resolved: dict[str, list[str]] = {}
        self._override_trouble = ""
        self._reaches: list[Reach] = []
        self._turn_secret = Secret(secrets.token_urlsafe(TURN_SECRET_BYTES))
        options = Options(
            addresses=served.local, media_port=served.media_port, api_port=served.api_port,
            turn_port=served.turn_port, without=frozenset(PARTS) - served.parts, consent_expiry_s=30.0,
            relay_ports=served.site.relay_ports,
        )  # fmt: skip
        self._stand_in = StandIn(
            options, facts=self.facts, received=self._received, associate=_associate,
            turn_secret=self._turn_secret, addresses=self._addresses, strangers=strangers,
            open_channel=_open_channel, offered=self._offered,
        )  # fmt: skip
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Raises OSError where a port cannot be had."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._stand_in)
            await asyncio.gather(self._look_up(LOOK_UP_S), asyncio.to_thread(import_module, DATA_CHANNELS))
            self._reaches = hosting.reaches(self._served.site, self._served.local, self._resolved)
            for work, what in ((self._watch_stun(), "STUN"), (self._ask_about_override(), "the override's name")):
                stack.push_async_callback(_ended, asyncio.create_task(work, name=what))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def links(self) -> list[Link]:
        """One for each address by which callers may come."""
        assert self._stand_in.ready is not None, "asked for while it runs"
        port = self._stand_in.ready.media_port
        override = self._served.site.host_port_override
        return [self._stand_in.link(reach.address, override or port, reach.name) for reach in self._reaches]

    @property
    def site(self) -> Site:
        """What it stands for."""
        return self._served.site

    @property
    def api_port(self) -> int:
        """Where rtcd's API would answer."""
        return self._served.api_port

    def books(self) -> RunBooks:
        """What was counted of the run."""
        return self._stand_in.books()

    def facts(self) -> Facts | None:
        """What paired clients are told."""
        ready = self._stand_in.ready
        if ready is None:
            return None
        site, local = self._served.site, self._served.local
        return Facts(
            local_addresses=list(local),
            public_addresses=list(dict.fromkeys(reach.address for reach in self._reaches)),
            media_port=ready.media_port,
            announced=hosting.announced(site, local, ready.media_port, self._stun, self._resolved),
            override_name=hosting.override_name(site),
            override_trouble=self._override_trouble,
            needs_stun=not site.host_override and site.users != "private",
            stun=self._stun,
            control_port=_closed_port(local),
            api_port=ready.api_port if "api" in self._served.parts else 0,
            **self._turn(ready.turn_port),
            unix_time_s=time.time(),
        )

    def _turn(self, port: int) -> _TurnFacts:
        """The TURN server that stands here, else the site's own, and a credential from its secret."""
        site = self._served.site
        stands_here = "turn" in self._served.parts
        servers = [] if stands_here else list(site.turn)
        secret = self._turn_secret if stands_here else self._served.turn_secret
        told = _TurnFacts(turn_port=port if stands_here else 0, turn_servers=servers)
        if secret and (stands_here or servers):
            expires_at_s = int(time.time()) + min(site.credential_minutes, CREDENTIAL_MINUTES_MAX) * 60
            # A name for each who asks: several that check at once share no quota.
            made = rest_credentials(secret, expires_at_s, f"calls-doctor-{secrets.token_hex(4)}")
            told |= _TurnFacts(turn_username=made.username, turn_credential=made.password.reveal())
        return told

    def _addresses(self) -> Addresses:
        site, local = self._served.site, self._served.local
        return Addresses(local, site.nat, tuple(one.address for one in self._reaches), site.host_port_override)

    def _offered(self, port: int) -> Offered:
        return offered(self._served.site, self._served.local, port, self._stun, self._resolved)

    def _received(self, report: Report) -> None:
        """The latest of each run; what came by two ways, from the caller and from a stand-in that joined, is one."""
        if report in self.reports:
            return
        self.reports = [*(one for one in self.reports if not _is_later(report, one)), report][-REPORTS_MAX:]
        self._heard(report)

    async def _look_up(self, limit_s: float) -> None:
        site = self._served.site
        names = dict.fromkeys(
            [media.host for media in site.media] + ([site.host_override] if site.host_override else [])
        )
        tasks = {name: asyncio.create_task(resolver.resolve_or_none(name)) for name in names}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=limit_s)
        for name, task in tasks.items():
            if task.done():
                self._resolved[name] = task.result()
            else:
                task.cancel()

    async def _ask_about_override(self) -> None:
        """Why its name gives nothing, where it is one that gave nothing: that tells whose fault it is."""
        name = hosting.override_name(self._served.site)
        if not name or self._resolved.get(name):
            return
        look_up, name_service = await asyncio.to_thread(lambda: (import_module(LOOK_UP), import_module(NAME_SERVICE)))
        service: NameService = await asyncio.to_thread(name_service.read)
        seen: NameSeen = await look_up.look_at(name, service)
        self._override_trouble = seen.trouble

    async def _watch_stun(self) -> None:
        """Asks the site's STUN servers from the media port, as rtcd does, now and again."""
        while True:
            self._stun = [await self._seen_by(str(uri), uri.host, uri.port) for uri in self._served.site.stun]
            await asyncio.sleep(STUN_AGAIN_S)

    async def _seen_by(self, uri: str, host: str, port: int) -> StunSeen:
        local = next((one for one in self._served.local if _asks_stun(one)), "")
        if "media" not in self._served.parts or not local:
            return StunSeen(uri=uri, mapped=None, trouble="not asked")
        try:
            server = (await resolver.resolve(host))[0], port
        except NetworkError as error:
            return StunSeen(uri=uri, mapped=None, trouble=str(error))
        mapped = await self._stand_in.mapped_by(server, local)
        return StunSeen(uri=uri, mapped=mapped, trouble="" if mapped else "it does not answer the media port")


def _associate(send: Callable[[bytes], None], desk: Desk) -> Association:
    from calls_doctor.net.sctp import associate

    return associate(send, desk)


def _open_channel(
    send: Callable[[bytes], None], heard: Callable[[str | bytes], None], opened: Callable[[], None], role: DtlsRole
) -> Channel:
    from calls_doctor.net.sctp import open_channel

    return open_channel(send, heard, opened, role)


def _is_later(report: Report, earlier: Report) -> bool:
    """The same run, which has grown: it holds all that the earlier one does."""
    here, there = ({(one.id, one.started) for one in each.vantages} for each in (report, earlier))
    return report.run_id == earlier.run_id and there <= here


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _closed_port(local: Sequence[str]) -> int:
    """A TCP port that nothing listens on; a connection to it must be refused, or somebody answers for this machine."""
    for _ in range(8):
        port = 20000 + secrets.randbelow(10000)
        if all(can_bind(Transport.TCP, address, port) is None for address in local):
            return port
    return 0
