"""Long-term credentials as a server judges them (RFC 8489 section 9.2.4), and what a REST user name is worth.

Nonces carry their own end and a proof that we made them for this client, so nothing is stored for whoever only asks.
Time is an argument; the one random number, the nonces' key, comes in at the start.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Path
from calls_doctor.wire import stun
from calls_doctor.wire.stun import ErrorCode, Message

NONCE_LIFETIME_S = 600.0
NONCE_KEY_BYTES = 16
BAD_REQUEST = ErrorCode(400, "Bad Request")
UNAUTHENTICATED = ErrorCode(401, "Unauthenticated")
STALE_NONCE = ErrorCode(438, "Stale Nonce")
_PROOF_CHARS = 24
FIRST_EXPIRY_UNIX_S = 1_000_000_000
"""September 2001."""
_EXPIRY_DIGITS_MAX = 12

Passwords = Callable[[str], Secret | None]
"""Gives the password of a user name; None where there is no such user (any more)."""


@dataclass(frozen=True)
class Login:
    """A request whose credentials are right."""

    username: str
    key: bytes
    """What the answer is signed with."""

    def __repr__(self) -> str:
        return f"Login(username={self.username!r})"


@dataclass(frozen=True)
class Challenge:
    """A request whose credentials are missing, wrong or stale: the answer, and nothing is signed with a key."""

    error: ErrorCode
    attributes: stun.Attributes = ()
    """REALM and NONCE, where the client can do something with them."""


class Authenticator:
    """Judges requests. `nonce_key` is NONCE_KEY_BYTES random bytes, new for each server."""

    def __init__(
        self, realm: str, passwords: Passwords, nonce_key: bytes, *, nonce_lifetime_s: float = NONCE_LIFETIME_S
    ) -> None:
        self._realm, self._passwords, self._nonce_key = realm, passwords, nonce_key
        self._nonce_lifetime_s = nonce_lifetime_s

    def judge(self, request: Message, client: Path, now: float) -> Login | Challenge:
        """The user, or what to answer instead."""
        if request.integrity_at is None:
            return self._challenge(UNAUTHENTICATED, client, now)
        username, realm, nonce = request.get(stun.USERNAME), request.get(stun.REALM), request.get(stun.NONCE)
        if username is None or realm is None or nonce is None:
            return Challenge(BAD_REQUEST)
        password = self._passwords(username)
        if password is None:
            return self._challenge(UNAUTHENTICATED, client, now)
        key = stun.long_term_key(username, self._realm, password.reveal())
        if not request.integrity_is_valid(key):  # made with our realm, whatever the attribute says
            return self._challenge(UNAUTHENTICATED, client, now)
        if not self._is_fresh(nonce, client, now):
            return self._challenge(STALE_NONCE, client, now)
        return Login(username, key)

    def _challenge(self, error: ErrorCode, client: Path, now: float) -> Challenge:
        nonce = self._nonce(int((now + self._nonce_lifetime_s) * 1000), client)
        return Challenge(error, [(stun.REALM, self._realm), (stun.NONCE, nonce)])

    def _nonce(self, expires_ms: int, client: Path) -> bytes:
        """It begins with a digit or a to f, hence never with RFC 8489's nonce cookie `obMatJos2`."""
        said = f"{expires_ms:x} {client.transport} {client.local} {client.remote}"
        proof = hmac.digest(self._nonce_key, said.encode(), "sha256").hex()[:_PROOF_CHARS]
        return f"{expires_ms:x}-{proof}".encode()

    def _is_fresh(self, nonce: bytes, client: Path, now: float) -> bool:
        expires, _, _ = nonce.partition(b"-")
        if len(expires) > _EXPIRY_DIGITS_MAX or not expires.isalnum():
            return False
        try:
            expires_ms = int(expires, 16)
        except ValueError:
            return False
        return hmac.compare_digest(nonce, self._nonce(expires_ms, client)) and now * 1000 < expires_ms


def rest_password(secret: Secret, username: str, unix_time_s: float) -> Secret | None:
    """The password of a REST user name `expiry:name` (draft-uberti-behave-turn-rest-00); None where it has expired.

    Such names are made by whoever holds the secret, so that no list of users is needed.
    """
    expiry, colon, _ = username.partition(":")
    if not colon or not _is_number(expiry) or int(expiry) <= unix_time_s:
        return None
    mac = hmac.digest(secret.reveal().encode(), username.encode(), "sha1")
    return Secret(base64.b64encode(mac).decode())


def expiry_unix_s(username: str) -> int | None:
    """When the time of a REST user name (`expiry:name`, or the expiry alone) ends; None where it carries none. A number
    that was long past before there were such names is a name: 1001 is somebody's extension."""
    head = username.partition(":")[0]
    return int(head) if _is_number(head) and int(head) >= FIRST_EXPIRY_UNIX_S else None


def user_of(username: str) -> str:
    """On whose quota a user name is: the name without its expiry, which changes with each credential."""
    expiry, colon, name = username.partition(":")
    return name if colon and _is_number(expiry) else username


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _EXPIRY_DIGITS_MAX
