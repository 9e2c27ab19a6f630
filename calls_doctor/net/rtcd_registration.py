"""A client of our own at an rtcd that registers whoever asks: made for one run, and undone whatever becomes of the run.

What must be undone is written down before it is done. A run that is killed leaves that note, and the next run that
names the same rtcd acts on it (contract section 2, "Manners").
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self  # nothing is sent to a coroutine

from calls_doctor.errors import CallsDoctorError, FarEndError, reason_of
from calls_doctor.model.credentials import Credentials, RtcdClient, Secret
from calls_doctor.net.key_pace import Pace
from calls_doctor.wire.rtcd_http import Refusal

if TYPE_CHECKING:  # it loads HTTP, which `--list` does without
    from calls_doctor.net.rtcd_api import RtcdApi

TIMEOUT_S = 2.6
KEY_BYTES = 24
"""32 characters, as many as the plugin's own keys have."""


@dataclass(frozen=True)
class Registration:
    """A client that one run has registered, or was about to."""

    url: str
    hosts: tuple[str, ...]
    """Each address of the URL's host: every rtcd has a store of its own."""
    client: RtcdClient


class Note(Protocol):
    """A registration that is written down, and held by whoever made it or found it."""

    @property
    def registration(self) -> Registration: ...

    def forget(self) -> None:
        """It is undone. May block."""

    def let_go(self) -> None:
        """It is not, and the next one may try. May block."""


class Ledger(Protocol):
    """Where notes outlive this process. Its methods may block."""

    def write(self, registration: Registration) -> Note:
        """Raises OSError."""

    def left_behind(self) -> Sequence[Note]:
        """Those of runs that are no more; never those of one that goes on."""


class RtcdRegistration:
    """What one run has registered at its rtcd. `async with` it: what it made is gone at the end, also where the run is
    cancelled; and meanwhile what an earlier run has left there."""

    def __init__(
        self, client_id: str, ledger: Ledger | None, say: Callable[[str], None], *, url: str = "", why_not: str = ""
    ) -> None:
        """`client_id` is for this run alone; `why_not`: nothing is to be registered."""
        self.client: RtcdClient | None = None
        """Who this run is there, once it has been registered."""
        self.let_in: RtcdClient | None = None
        """As whom rtcd has let this run in, by whatever right, once api.rtcd-auth has found out."""
        self._paces: dict[str, Pace] = {}
        self._client_id, self._ledger, self._say, self._url = client_id, ledger, say, url
        self._why_not = why_not or ("" if ledger else "there is nowhere to note what must be undone")
        self._note: Note | None = None
        self._clearing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._url and self._ledger is not None:
            self._clearing = asyncio.create_task(self._clear(self._ledger), name="what an earlier run has left")
        return self

    async def __aexit__(self, *_: object) -> None:
        await _whatever_comes(self._end())

    def pace(self, host: str) -> Pace:
        """Of this run's use of keys at this address: an rtcd of its own, as the plugin has it."""
        return self._paces.setdefault(host, Pace())

    @property
    def credentials(self) -> Credentials:
        """The key of what was registered, which no output may show; its id is no secret."""
        return Credentials(rtcd_auth_key=self.client.auth_key if self.client else None)

    async def register(self, url: str, hosts: Sequence[str]) -> str:
        """Registers `client` at each of these addresses, and says so before. Why there is none; "" where there is."""
        if self.client is not None or self._why_not:
            return self._why_not
        assert self._ledger is not None, "else there is a reason why not"
        client = RtcdClient(self._client_id, Secret(secrets.token_urlsafe(KEY_BYTES)))
        try:
            self._note = await asyncio.to_thread(self._ledger.write, Registration(url, tuple(hosts), client))
        except OSError as error:
            reason = reason_of(error, "it cannot be written")
            return f"where to note what must be undone cannot be written ({reason}), so nothing was registered"
        self._say(f"registering {client.client_id} at {url} for this run, and no longer (--no-register forbids it)")
        troubles = await asyncio.gather(*(self._made(url, host, client) for host in hosts))
        if None not in troubles:
            return str(troubles[0])
        self.client = client
        return ""

    async def _made(self, url: str, host: str, client: RtcdClient) -> CallsDoctorError | None:
        """Registers it there; else why not."""
        try:
            await self._api(url, host).register(client.client_id, client.auth_key)
        except FarEndError as error:
            # Of several addresses of one rtcd the first has made it known to all.
            return None if error.reason == Refusal.ALREADY_REGISTERED else error
        except CallsDoctorError as error:
            return error
        return None

    async def _end(self) -> None:
        if self._clearing is not None:
            await asyncio.wait({self._clearing})
        if self._note is None:
            return
        note, client_id = self._note, self._note.registration.client.client_id
        if (trouble := await self._undone(note)) is not None:
            self._say(
                f"{client_id} could not be unregistered: {trouble}. The next run that names this rtcd tries again"
            )

    async def _clear(self, ledger: Ledger) -> None:
        for note in await asyncio.to_thread(ledger.left_behind):
            left = note.registration
            if left.url != self._url:
                await asyncio.to_thread(note.let_go)
            elif (trouble := await self._undone(note)) is None:
                self._say(
                    f"{left.client.client_id} is no longer registered at {left.url}: a run that was killed had left it"
                )
            else:
                self._say(f"{left.client.client_id}, which a run that was killed has left, is still there: {trouble}")

    async def _undone(self, note: Note) -> CallsDoctorError | None:
        """Unregisters at every address, and forgets it; else why not."""
        left = note.registration
        found = await asyncio.gather(*(self._unregistered(left, host) for host in left.hosts))
        trouble = next((one for one in found if one is not None), None)
        await asyncio.to_thread(note.forget if trouble is None else note.let_go)
        return trouble

    async def _unregistered(self, left: Registration, host: str) -> CallsDoctorError | None:
        api, client = self._api(left.url, host), left.client
        try:
            await api.unregister(client.client_id, client.auth_key)
        except FarEndError as error:
            return None if await self._is_unknown(api, client) else error
        except CallsDoctorError as error:
            return error
        return None

    async def _is_unknown(self, api: RtcdApi, client: RtcdClient) -> bool:
        """rtcd says the same of a client that it does not know, of one for whom its limiter had no turn, and of any
        where nobody may be unregistered; to a login it tells them apart."""
        try:
            await api.login(client.client_id, client.auth_key)
        except FarEndError as error:
            return error.reason == Refusal.UNKNOWN_CLIENT
        except CallsDoctorError:
            pass
        return False

    def _api(self, url: str, host: str) -> RtcdApi:
        from calls_doctor.net.rtcd_api import RtcdApi

        return RtcdApi(url, TIMEOUT_S, host, self.pace(host))


async def _whatever_comes(work: Coroutine[Any, Any, None]) -> None:
    """Awaits it to its end, in a task of its own, also where this one is cancelled meanwhile."""
    task = asyncio.create_task(work, name="what was registered is undone")
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
