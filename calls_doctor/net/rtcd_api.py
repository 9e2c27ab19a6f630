"""rtcd's HTTP API on 8045 as its clients use it: register, unregister, login, /system, who is in a call.

Credentials are opened at the line that sends them, and no error repeats what came: a refusal might hold them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from calls_doctor.errors import FarEndError, HttpError
from calls_doctor.model.credentials import Secret
from calls_doctor.net import http
from calls_doctor.net.key_pace import Pace
from calls_doctor.wire import rtcd_http
from calls_doctor.wire.rtcd_http import Refusal, SessionInCall

AUTHORIZATION = "Authorization"


@dataclass(frozen=True)
class RtcdApi:
    """The API at one address of the URL's host, "" for the first.

    Every method raises what `http.get` raises, and FarEndError where rtcd refuses: `code` is the HTTP status, `reason`
    a Refusal.
    """

    url: str
    timeout_s: float
    host: str = ""
    pace: Pace = field(default_factory=Pace)

    async def register(self, client_id: str, auth_key: Secret) -> None:
        """Makes a client known, where whoever asks may."""
        await self.pace.turn()
        await self._post("/register", rtcd_http.credentials_body(client_id, auth_key.reveal()))

    async def would_register(self) -> Refusal | None:
        """Why nobody without credentials is registered; None where anybody is.

        Asked with neither an id nor a key, which rtcd refuses (400) before it stores anything, but not before it has
        refused to hear a stranger at all (401).
        """
        try:
            await self._post("/register", rtcd_http.credentials_body("", ""))
        except FarEndError as error:
            reason = Refusal(error.reason)
            return None if reason in (Refusal.SHORT_KEY, Refusal.NO_ID) else reason
        return Refusal.NOT_RTCD  # which never takes an empty key

    async def has_admin(self) -> bool | None:
        """Whether an admin may unregister clients where clients themselves may not; None where that was not told."""
        try:
            await self._post("/unregister", rtcd_http.client_body(""))
        except FarEndError as error:
            return {Refusal.UNREGISTER_OFF: False, Refusal.NO_AUTHORIZATION: True}.get(Refusal(error.reason))
        return None

    async def unregister(self, client_id: str, auth_key: Secret) -> None:
        """Makes a client unknown, by its own key."""
        headers = [(AUTHORIZATION, rtcd_http.basic(client_id, auth_key.reveal()))]
        await self._post("/unregister", rtcd_http.client_body(client_id), headers)

    async def login(self, client_id: str, auth_key: Secret) -> Secret:
        """A bearer token; the one before it, of the same client, is worth nothing from then on."""
        await self.pace.turn()
        body = await self._post("/login", rtcd_http.credentials_body(client_id, auth_key.reveal()))
        return Secret(rtcd_http.token_of(body))

    async def cpu_load(self) -> float | None:
        """How busy rtcd's machine is, 0 to 1; None where it does not tell (before v0.15.0)."""
        return rtcd_http.cpu_load((await self._get("/system")).body)

    async def sessions(self, call_id: str, authorization: Secret) -> list[SessionInCall]:
        """Who is in a call of this client's, as rtcd has it; none where it knows no such call. `authorization` is the
        header's whole value. Since v1.0.0."""
        headers = [(AUTHORIZATION, authorization.reveal())]
        answer = await self._get(f"/calls/{call_id}/sessions", headers)
        if answer.status == 404:
            if answer.body.startswith(b"failed to get session configs: "):
                return []
            raise FarEndError("GET /calls", answer.status, Refusal.NO_ROUTE)
        if answer.status != 200:
            told = answer.status == 401 and answer.body == b"unauthorized\n"
            raise FarEndError("GET /calls", answer.status, Refusal.WRONG_CREDENTIALS if told else Refusal.NOT_RTCD)
        return rtcd_http.sessions_of(answer.body)

    async def _get(self, path: str, headers: http.Headers = ()) -> http.HttpAnswer:
        return await http.get(f"{self.url}{path}", timeout_s=self.timeout_s, host=self.host, headers=headers)

    async def _post(self, path: str, body: bytes, headers: http.Headers = ()) -> bytes:
        """The body of what rtcd takes."""
        answer = await http.post_json(
            f"{self.url}{path}", body, timeout_s=self.timeout_s, host=self.host, headers=headers
        )
        if (why := rtcd_http.refusal(answer.status, answer.body)) is not None:
            if why is Refusal.NOT_RTCD and answer.status < 300:
                raise HttpError(f"POST {path}: what answers with {answer.status} does not speak as rtcd does")
            raise FarEndError(f"POST {path}", answer.status, why)
        return answer.body
