"""The stand-in: what stands where rtcd or the plugin will stand. SFU, API, STUN and TURN, one beside the other.

async with StandIn(Options()) as stand_in: ...  # stand_in.ready has the link, the ports and the TURN credential
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from calls_doctor.model.books import RunBooks
from calls_doctor.model.credentials import Secret
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Address, Path
from calls_doctor.model.report import Report
from calls_doctor.sfu.session import Associate, Grant
from calls_doctor.sfu.sfu import Sfu
from calls_doctor.standin.admission import Admission
from calls_doctor.standin.api import ApiServer
from calls_doctor.standin.desk import ReportDesk
from calls_doctor.standin.hosting import Addresses
from calls_doctor.standin.launch import Options, Ready
from calls_doctor.standin.strangers import Strangers, StrangerWatch
from calls_doctor.standin.stun_server import StunServer
from calls_doctor.standin.turn_server import TurnServer
from calls_doctor.wire.direct import KEY_BYTES, Keys, Link
from calls_doctor.wire.dtls import Certificate
from calls_doctor.wire.turn_requests import Limits

if TYPE_CHECKING:
    from calls_doctor.sfu.rtcd_calls import Offered
    from calls_doctor.sfu.rtcd_service import OpenChannel, RtcdService

PARTS = ("media", "api", "stun", "turn")
ALLOCATIONS_MAX = 256
"""A check holds up to ten at once: two dozen may run side by side."""


class StandIn:
    """Everything that `options` does not leave out, on every address of the options.

    `facts` gives what paired clients are told of this machine, None for nothing; `received` hears of each report that
    a paired client hands in; `associate` makes a session's end of SCTP, and without it there are no data channels.
    Whoever has a REST credential made from `turn_secret` may use the TURN server; by which addresses callers reach this
    machine `addresses` says, None where that is by its own. `strangers` hears of links that open nothing here.
    `open_channel` makes the data channels of rtcd's calls, and without it there are none of these; `offered` says for
    the media port where they are reached.
    """

    def __init__(
        self,
        options: Options,
        *,
        facts: Callable[[], Facts | None] = lambda: None,
        received: Callable[[Report], None] = lambda _report: None,
        associate: Associate | None = None,
        turn_secret: Secret | None = None,
        addresses: Callable[[], Addresses | None] = lambda: None,
        strangers: StrangerWatch | None = None,
        open_channel: OpenChannel | None = None,
        offered: Callable[[int], Offered] | None = None,
    ) -> None:
        self._options = options
        self._turn_secret, self._addresses = turn_secret, addresses
        self._keys = Keys(secrets.token_bytes(KEY_BYTES))
        self._certificate = Certificate.generate()
        self._admission = Admission(self._keys)
        self._turn_username, self._turn_password = "calls-doctor", Secret(secrets.token_urlsafe(24))
        desk = ReportDesk(self._keys, self.books, facts, received)
        self._strangers = strangers
        self._sfu = Sfu(
            self._admit, self._certificate, desk, associate=associate, turned_away=self._turned_away,
            consent_expiry_s=options.consent_expiry_s,
        )  # fmt: skip
        self._rtcd = self._service(open_channel, offered) if open_channel is not None else None
        self._stack = AsyncExitStack()
        self.ready: Ready | None = None
        """Set while it runs."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.ready = await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.ready = None
        await self._stack.aclose()

    def books(self) -> RunBooks:
        """What was counted of the whole run, as it stands now."""
        return RunBooks(
            run=self._keys.run,
            sessions=self._sfu.books(),
            foreign_runs=self._admission.foreign_runs,
            bad_integrity=self._sfu.bad_integrity,
            unauthenticated=self._sfu.unauthenticated + self._admission.unreadable,
        )

    def _admit(self, fragment: str) -> Grant | None:
        """A session of a call that was joined over 8045, else what the link's key opens."""
        return (self._rtcd.grant(fragment) if self._rtcd is not None else None) or self._admission(fragment)

    def _service(self, open_channel: OpenChannel, offered: Callable[[int], Offered] | None) -> RtcdService:
        """The calls of rtcd's protocol. Loaded here: it takes 35 ms, and a self-test has none."""
        from calls_doctor.sfu.rtcd_service import RtcdService
        from calls_doctor.standin.offered import offered_at

        def reached() -> Offered:
            port = self._sfu.port
            return offered(port) if offered is not None else offered_at(self._options.addresses, port, port)

        return RtcdService(self._certificate.fingerprint, reached, open_channel, self._sfu)

    def _turned_away(self, path: Path) -> None:
        if self._strangers is not None:
            seen = Strangers(self._admission.foreign_runs, self._sfu.bad_integrity)
            self._strangers.saw(seen, path.remote[0], asyncio.get_running_loop().time())

    def link(self, address: str, port: int, name: str = "") -> Link:
        """The pairing link by which callers come to this address and port."""
        return Link(address, port, self._keys, self._certificate.fingerprint, name)

    async def mapped_by(self, server: Address, local: str) -> Address | None:
        """How a STUN server sees the media port of this local address; None where it does not answer."""
        return await self._sfu.mapped_by(server, local)

    async def _start(self, stack: AsyncExitStack) -> Ready:
        """Raises OSError, whose sentence names the part, where a port cannot be had."""
        options = self._options
        ports: dict[str, int] = {part: getattr(options, f"{part}_port") for part in PARTS}
        for part in PARTS:
            if part in options.without:
                continue
            try:
                ports[part] = await self._start_part(part, ports[part], list(options.addresses), stack)
            except OSError as error:
                wanted = f"port {ports[part]}" if ports[part] else "a port"
                where = ", ".join(options.addresses)
                said = f"its {part} server cannot have {wanted} of {where}: {error.strerror or error}"
                raise OSError(error.errno, said) from None
        return Ready(
            link=str(self.link(options.addresses[0], ports["media"] or 1)),
            media_port=ports["media"],
            api_port=ports["api"],
            stun_port=ports["stun"],
            turn_port=ports["turn"],
            turn_username=self._turn_username,
            turn_password=self._turn_password.reveal(),
        )

    async def _start_part(self, part: str, port: int, addresses: list[str], stack: AsyncExitStack) -> int:
        """Starts one of PARTS, and gives the port it got."""
        if part == "media":
            await self._sfu.start(addresses, port)
            stack.push_async_callback(self._sfu.close)
            return self._sfu.port
        if part == "api":
            client_id, auth_key = self._keys.api_client_id, self._keys.api_auth_key
            signalling = None if "media" in self._options.without else self._rtcd
            api = ApiServer(addresses, port, client_id=client_id, auth_key=auth_key, signalling=signalling)
            if signalling is not None:
                stack.callback(signalling.close)
            return (await stack.enter_async_context(api)).port
        if part == "stun":
            return (await stack.enter_async_context(StunServer(addresses, port))).port
        return (await stack.enter_async_context(self._turn_server(addresses))).port

    def _turn_server(self, addresses: list[str]) -> TurnServer:
        """It relays to this run's media port and between its relays, and to nothing else of any machine."""
        first, last = self._options.relay_ports
        own = Addresses(tuple(addresses), (), tuple(addresses))

        def known() -> Addresses:
            return self._addresses() or own

        def port_here(peer: Address) -> int:
            media_ports = (self._sfu.port, known().port_override or self._sfu.port)
            return self._sfu.port if known().is_here(peer[0]) and peer[1] in media_ports else 0

        return TurnServer(
            addresses,
            self._options.turn_port,
            users={self._turn_username: self._turn_password},
            secret=self._turn_secret,
            may_relay=lambda ip: ip in addresses or known().is_here(ip),
            may_reach=lambda peer: (peer[0] in addresses and peer[1] == self._sfu.port) or port_here(peer) > 0,
            outside=lambda local: known().outside(local),
            port_here=port_here,
            relay_ports=range(first, last + 1),
            limits=Limits(allocations=ALLOCATIONS_MAX),
        )
