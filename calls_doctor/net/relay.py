"""The TURN relay as checks use it: which credentials, which server, and the allocations of one run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any  # rows of evidence are JSON; nothing is sent to a coroutine

from calls_doctor.errors import Cut, FarEndError
from calls_doctor.model.check import CheckResult
from calls_doctor.model.credentials import Credentials, TurnCredentials
from calls_doctor.model.flow import Address
from calls_doctor.model.site import ServerUri
from calls_doctor.net import resolver, turn_client
from calls_doctor.net.turn_client import Allocation, Challenge, Conversation
from calls_doctor.wire.turn import ALLOCATION_MISMATCH, rest_credentials
from calls_doctor.wire.turn_auth import expiry_unix_s

TIMEOUT_S = 2.6
"""For one conversation with a server; the silence schedule of the STUN codec ends just before."""
CREDENTIAL_LIFE_S = 3600
ALLOCATION_QUOTA_REACHED = 486
FREED_AFTER_S = 1.3


def credentials_of(given: Credentials, now_s: float) -> TurnCredentials | None:
    """What was given, or a REST credential made from the shared secret for this run; None where neither is there.

    `now_s` is the wall clock, in seconds since 1970.
    """
    if given.turn is not None:
        return given.turn
    if given.turn_secret is not None:
        return rest_credentials(given.turn_secret, int(now_s) + CREDENTIAL_LIFE_S, "calls-doctor")
    return None


def issuer(own: Credentials, given: Credentials) -> str:
    """By whose clock credentials that are given to a check were made: this machine's ("here", from the secret), the
    "stand-in"'s, or that of whoever wrote them into the environment ("given")."""
    return "here" if given.turn is None else "given" if given is own else "stand-in"


def life_of(credentials: TurnCredentials, now_s: float) -> dict[str, Any]:
    """What this machine's clock says of the time in a user name: seconds since its end (None: not yet), and until it
    (negative: since). Both None where it carries none."""
    expiry = expiry_unix_s(credentials.username)
    left_s = None if expiry is None else round(expiry - now_s, 1)
    return {"expired_s": -left_s if left_s is not None and left_s < 0 else None, "expires_in_s": left_s}


async def address_of(uri: ServerUri) -> Address:
    """The first address of the server's name that this machine can try. Raises what `resolver.resolve` raises."""
    return resolver.routed(await resolver.resolve(uri.host))[0], uri.port


def usable(uris: Sequence[ServerUri], results: Mapping[str, CheckResult]) -> ServerUri:
    """The first URI that gave a relay, at a server that allows a peer where there is one.

    Asked for only where turn.allocate has found a URI that works; turn.permission counts where it has run.
    """
    for check in ("turn.permission", "turn.allocate"):
        rows: Sequence[Mapping[str, Any]] = results[check].evidence.get("servers", ()) if check in results else ()
        good = [uri for uri in uris for row in rows if row["uri"] == str(uri) and row["ok"]]
        if good:
            return good[0]
    raise ValueError("no TURN server gave a relay")


class Relays:
    """The allocations of one run: what one check has opened, and the next can go on with, is opened once.

    What nobody needs any more is given back beside whatever goes on, and all that is left when it is closed.
    """

    def __init__(self) -> None:
        self._challenged: dict[ServerUri, Conversation] = {}
        self._kept: list[tuple[ServerUri, Allocation]] = []
        self._ahead: list[tuple[ServerUri, asyncio.Task[Allocation]]] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def challenge(self, uri: ServerUri) -> Challenge:
        """How the server answers an Allocate without credentials; the next allocation goes on from there. Raises what
        `turn_client.begin` raises."""
        conversation = await turn_client.begin(uri, await address_of(uri), timeout_s=TIMEOUT_S)
        if conversation.challenge.has_nonce and uri not in self._challenged:
            self._challenged[uri] = conversation
        else:
            await conversation.close()
        return conversation.challenge

    @asynccontextmanager
    async def lent(
        self, uri: ServerUri, given: Credentials, *, keep: bool = False, patient: bool = True
    ) -> AsyncIterator[Allocation]:
        """An allocation with the credentials at hand: one that was kept, or a new one. At the end it is given back, or
        with `keep` kept for who comes next. Raises what `turn_client.allocate` raises.

        Who is `patient` asks once more where a quota is reached: coturn frees what was given back only a second later
        (measured), and an allocation of this very run is no finding.
        """
        allocation = self._taken(uri) or await (self._coming(uri) or self._opened(uri, given, patient))
        try:
            yield allocation
        finally:
            if keep and not allocation.lost:
                self._kept.append((uri, allocation))
            else:
                self._end(allocation.close())

    @asynccontextmanager
    async def several(self, uri: ServerUri, given: Credentials, count: int) -> AsyncIterator[list[Allocation]]:
        """So many allocations of one server: two sessions through one would reach the far end from one address. Raises
        what `turn_client.allocate` raises."""
        async with AsyncExitStack() as stack:
            opening = (stack.enter_async_context(self.lent(uri, given)) for _ in range(count))
            # All are waited for, so that each that was opened is given back.
            opened = await asyncio.gather(*opening, return_exceptions=True)
            if failed := next((one for one in opened if isinstance(one, BaseException)), None):
                raise failed
            yield [one for one in opened if not isinstance(one, BaseException)]

    def open_ahead(self, uri: ServerUri, given: Credentials) -> None:
        """Opens one more beside what goes on, for who comes next; what comes of it is theirs to hear."""
        self._ahead.append((uri, asyncio.create_task(self._opened(uri, given, patient=True))))

    async def end_all(self, host: str) -> None:
        """Gives back what is kept of this server; returns when the server has been told of all that nobody uses."""
        for uri, allocation in [one for one in self._kept if one[0].host == host]:
            self._kept.remove((uri, allocation))
            self._end(allocation.close())
        await self._all_told()

    async def close(self) -> None:
        """Gives everything back."""
        for conversation in self._challenged.values():
            self._end(conversation.close())
        for _, allocation in self._kept:
            self._end(allocation.close())
        for _, coming in self._ahead:
            self._end(_given_back(coming))
        self._challenged, self._kept, self._ahead = {}, [], []
        await self._all_told()

    def _taken(self, uri: ServerUri) -> Allocation | None:
        for kept in [one for one in self._kept if one[0] == uri]:
            self._kept.remove(kept)
            if not kept[1].lost:
                return kept[1]
            self._end(kept[1].close())
        return None

    def _coming(self, uri: ServerUri) -> asyncio.Task[Allocation] | None:
        for one in self._ahead:
            if one[0] == uri:
                self._ahead.remove(one)
                return one[1]
        return None

    async def _opened(self, uri: ServerUri, given: Credentials, patient: bool) -> Allocation:
        credentials = credentials_of(given, time.time())
        assert credentials is not None, "asked for only where credentials are there"
        try:
            return await self._allocated(uri, credentials)
        except FarEndError as error:
            if error.code != ALLOCATION_QUOTA_REACHED or not patient:
                raise
        await asyncio.sleep(FREED_AFTER_S)
        return await self._allocated(uri, credentials)

    async def _allocated(self, uri: ServerUri, credentials: TurnCredentials) -> Allocation:
        conversation = self._challenged.pop(uri, None)
        if conversation is not None:
            try:
                return await conversation.allocate(credentials, timeout_s=TIMEOUT_S)
            except Cut:
                pass  # it has waited too long for the server's taste
            except FarEndError as error:
                if error.code != ALLOCATION_MISMATCH:
                    raise
        return await turn_client.allocate(uri, await address_of(uri), credentials, timeout_s=TIMEOUT_S)

    async def _all_told(self) -> None:
        ending = list(self._ending)
        if not ending:
            return
        try:
            await asyncio.wait(ending)
        except asyncio.CancelledError:
            await asyncio.wait(ending)
            raise

    def _end(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _given_back(opening: asyncio.Task[Allocation]) -> None:
    """For what nobody waits for any more."""
    opening.cancel()
    await asyncio.wait([opening])
    if not opening.cancelled() and opening.exception() is None:
        await opening.result().close()
