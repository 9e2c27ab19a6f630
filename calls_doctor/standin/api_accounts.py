"""Who may use the stand-in's 8045 API: this run's own client, and those that it or another of them has registered.

All of it is kept in memory and ends with the run. Keys are compared in full, whatever the first byte says. What is
refused is said in rtcd's own words (rtcd-protocol section 1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from calls_doctor.errors import CallsDoctorError
from calls_doctor.model.credentials import Secret
from calls_doctor.wire.rtcd_http import CLIENT_ID_MAX_BYTES, KEY_MAX_BYTES, KEY_MIN_BYTES

Headers = dict[str, list[str]]
"""Header name in lower case -> its values, in order."""
REGISTERED_MAX = 16
"""Clients that others have registered."""
TOKEN_BYTES = 24
"""32 characters, as rtcd's tokens have."""
TOKEN_LIFE_S = 1440 * 60.0
_BEARER = "Bearer "
_NOT_FOUND = "error: not found"


class AccountError(CallsDoctorError):
    """Credentials that open nothing, or a wish about them that is not granted; the sentence is what rtcd says."""


class Accounts:
    """The run's clients. `clock` gives seconds that only grow."""

    def __init__(self, client_id: str, auth_key: Secret, clock: Callable[[], float] = time.monotonic) -> None:
        self._own = client_id
        self._clock = clock
        self._digests = {client_id: _digest(auth_key.reveal())}
        """Client id -> its key's digest: all have one length, so comparing tells nothing of a key's."""
        self._tokens: dict[bytes, tuple[str, float]] = {}
        """Digest of a bearer token -> whose it is, and when it ends. A client has one."""

    def authenticate(self, headers: Headers) -> str:
        """The client id for which the Authorization header speaks. Raises AccountError."""
        value = next(iter(headers.get("authorization", [])), "")
        if value.startswith(_BEARER):  # rtcd takes this spelling alone
            return self._bearer(value.removeprefix(_BEARER))
        client_id, auth_key = _basic(value)
        if not client_id:
            raise AccountError("authentication failed: unauthorized")
        if not self._is_known(client_id, auth_key):
            raise AccountError("authentication failed")
        return client_id

    def register(self, client_id: str, auth_key: str) -> None:
        """One more client. Raises AccountError."""
        size = len(auth_key.encode())
        if size < KEY_MIN_BYTES:
            raise AccountError("registration failed: key not long enough")
        if client_id in self._digests:
            raise AccountError("registration failed: already registered")
        if size > KEY_MAX_BYTES:
            raise AccountError(f"registration failed: bcrypt: password length exceeds {KEY_MAX_BYTES} bytes")
        if not client_id:
            raise AccountError("registration failed: error: empty key")
        if len(client_id.encode()) > CLIENT_ID_MAX_BYTES:
            raise AccountError("registration failed: failed to set key: error: key too large")
        if len(self._digests) > REGISTERED_MAX:
            raise AccountError(f"registration failed: a stand-in has room for {REGISTERED_MAX} clients")
        self._digests[client_id] = _digest(auth_key)

    def unregister(self, client_id: str) -> None:
        """Forgets a client and its token; the run's own stays, since the link is worth nothing without it."""
        if client_id not in self._digests or client_id == self._own:
            raise AccountError(f"unregister failed: {_NOT_FOUND}")
        del self._digests[client_id]
        self._end_token(client_id)

    def log_in(self, client_id: str, auth_key: str) -> str:
        """A bearer token in place of the client's last one. Raises AccountError."""
        if not client_id:
            raise AccountError("login failed: authentication failed: error: empty key")
        if client_id not in self._digests:
            raise AccountError(f"login failed: authentication failed: {_NOT_FOUND}")
        if not self._is_known(client_id, auth_key):
            raise AccountError("login failed: authentication failed")
        self._end_token(client_id)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._tokens[_digest(token)] = client_id, self._clock() + TOKEN_LIFE_S
        return token

    def _is_known(self, client_id: str, auth_key: str) -> bool:
        known = self._digests.get(client_id)
        same = hmac.compare_digest(known or bytes(hashlib.sha256().digest_size), _digest(auth_key))
        return known is not None and same

    def _bearer(self, token: str) -> str:
        client_id, ends_at = self._tokens.get(_digest(token), ("", 0.0))
        if not client_id:
            raise AccountError("authentication failed: token is invalid")
        if self._clock() >= ends_at:
            raise AccountError("authentication failed: session is expired")
        return client_id

    def _end_token(self, client_id: str) -> None:
        self._tokens = {token: of for token, of in self._tokens.items() if of[0] != client_id}


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def _basic(value: str) -> tuple[str, str]:
    """Client id and key of a Basic header. Raises AccountError."""
    scheme, _, encoded = value.partition(" ")
    try:
        said = base64.b64decode(encoded, validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        said = b""
    client_id, colon, auth_key = said.partition(b":")
    if not colon:
        raise AccountError("authentication failed: invalid auth header")
    return client_id.decode(errors="surrogateescape"), auth_key.decode(errors="surrogateescape")
