"""The pairing link, and all that both ends derive from its key, so that a call needs no signalling channel.

The port under test is the only port needed (contract section 4; the idea of libp2p's WebRTC Direct): the client
composes the stand-in's ICE user name fragment, both ends derive its password from the key, and a Binding request
with valid MESSAGE-INTEGRITY is the authentication. The client's certificate hash is part of the fragment, which
binds its DTLS identity to the key. Random bytes are arguments; nothing here opens a socket or reads a clock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qs, quote, urlsplit

from calls_doctor.errors import StunError, UsageError
from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import bracketed

SCHEME = "calls-doctor"
KEY_BYTES = 16
DIGEST_BYTES = 32
"""SHA-256, of a DTLS certificate in DER."""
LABEL_PREFIX = "calls-doctor/1 "

RUN_CHARS, NONCE_CHARS, DIGEST_CHARS = 8, 8, 43
CALL_CHARS = 4
"""The first characters of a nonce name the call, the others the session in it."""
SESSION_CHARS = RUN_CHARS + 1 + NONCE_CHARS
FRAGMENT_CHARS = SESSION_CHARS + DIGEST_CHARS
"""ICE allows 4 to 256 (RFC 8445 section 5.3); Chromium and aioice take 60 (measured)."""
NONCE_BYTES = 6

ECHO_LEGS = "utrm"
"""UDP, TCP, relay, MTU: media comes back to the session that sent it."""
CONFERENCE_LEGS = "UTR"
"""The same paths; media goes to every other session of the same call."""
ECHO_SSRC = 0x0CD0EC40
"""The SSRC of everything that is echoed: the one that the self-made answer announces."""
NO_CERTIFICATE = bytes(DIGEST_BYTES)
"""In place of the hash where a session does no DTLS: no certificate has it."""

LINK_CHARS_MAX = 1024
_NAME = re.compile(r"[^\W_](?:[\w.:-]{0,251}[\w.:])?")
"""A host name, in any script, or an address literal."""
_ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+", re.ASCII)  # RFC 8839 section 5.4


def base64_chars(data: bytes) -> str:
    """Standard base64 without "=": its alphabet is that of ICE user names; base64url's is not (RFC 8839)."""
    return base64.b64encode(data).decode().rstrip("=")


class Keys:
    """What is derived from a run's key (direct-call scheme 1). Its repr and pickle show nothing."""

    __slots__ = ("_key", "run")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key
        self.run: str = base64_chars(self._derive("run"))[:RUN_CHARS]
        """The run's public name."""

    def _derive(self, label: str, text: str = "") -> bytes:
        return hmac.digest(self._key, f"{LABEL_PREFIX}{label}\0{text}".encode(), "sha256")

    def password(self, fragment: str) -> str:
        """The ICE password (43 ice-chars) that belongs to the stand-in's user name fragment."""
        return base64_chars(self._derive("pwd", fragment))

    @property
    def api_client_id(self) -> str:
        """The client id of the stand-in's 8045 API."""
        return f"calls-doctor-{self._derive('api id').hex()[:16]}"

    @property
    def api_auth_key(self) -> Secret:
        """The key that belongs to it; as long as rtcd demands (32 characters or more)."""
        return Secret(self._derive("api key").hex()[:48])

    def reveal(self) -> bytes:
        """The key itself, for the link."""
        return self._key

    def __repr__(self) -> str:
        return f"Keys(run={self.run!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled")


@dataclass(frozen=True)
class Link:
    """A pairing link: a capability for one run of a stand-in, as secret as what it opens.

    `str()` is the whole link, `shown` what an output may say of it.
    """

    address: str
    """An IP address literal."""
    port: int
    keys: Keys = field(repr=False, compare=False)
    fingerprint: bytes
    """SHA-256 of the stand-in's certificate."""
    name: str = ""
    """How callers know the host; "" if it has no name. Carried beside the address, so that a broken name is a
    finding and not a dead link."""

    @property
    def shown(self) -> str:
        """HOST:PORT."""
        return f"{self.name or bracketed(self.address)}:{self.port}"

    def __str__(self) -> str:
        query = f"?name={quote(self.name)}" if self.name else ""
        key, fingerprint = (_base64url(part) for part in (self.keys.reveal(), self.fingerprint))
        return f"{SCHEME}://{bracketed(self.address)}:{self.port}/{query}#{key}.{fingerprint}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def parse_link(text: str) -> Link:
    """Reads a pairing link as `serve` printed it. Raises UsageError, whose sentence never holds the key."""
    text = text.strip()
    if not text.startswith(f"{SCHEME}://"):
        raise UsageError(f"a pairing link begins with {SCHEME}://, as `calls-doctor serve` prints it")
    if len(text) > LINK_CHARS_MAX:
        raise UsageError("the pairing link is too long: give one link, as `calls-doctor serve` printed it")
    try:
        parts = urlsplit(text)
        address, port = ipaddress.ip_address(parts.hostname or ""), parts.port
        name = parse_qs(parts.query).get("name", [""])[0]
    except ValueError:
        raise UsageError("the pairing link names no IP address and port after calls-doctor://") from None
    if not port:
        raise UsageError("the pairing link names no port")
    if name and not _NAME.fullmatch(name):  # it is shown and looked up: no control characters, no spaces
        raise UsageError("the name in the pairing link is no host name")
    key_text, _, fingerprint_text = parts.fragment.partition(".")
    key, fingerprint = _from_base64url(key_text), _from_base64url(fingerprint_text)
    if len(key) != KEY_BYTES or len(fingerprint) != DIGEST_BYTES:
        raise UsageError(
            f"the pairing link for {bracketed(str(address))}:{port} is incomplete after its #: "
            "copy the whole line, and put it in quotes"
        )
    return Link(str(address), port, Keys(key), fingerprint, name)


def _from_base64url(text: str) -> bytes:
    """b"" for whatever is not base64url without padding."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if _base64url(data) == text else b""


@dataclass(frozen=True)
class Fragment:
    """The stand-in's ICE user name fragment, chosen by the client: nobody else needs to know it before the first
    Binding request, from which the stand-in reads it."""

    run: str
    leg: str
    nonce: str
    digest: bytes
    """SHA-256 of the client's DTLS certificate."""

    @property
    def session(self) -> str:
        """The name by which both ends' books know the session."""
        return f"{self.run}{self.leg}{self.nonce}"

    @property
    def is_conference(self) -> bool:
        """True where media goes to the others of the call, False where it is echoed."""
        return self.leg in CONFERENCE_LEGS

    @property
    def call(self) -> str:
        """The call that a conference session belongs to."""
        return self.nonce[:CALL_CHARS]

    def __str__(self) -> str:
        return f"{self.session}{base64_chars(self.digest)}"

    @classmethod
    def parse(cls, text: str) -> Fragment:
        """Reads a fragment. Raises StunError, and nothing else."""
        if len(text) != FRAGMENT_CHARS or not _ICE_CHARS.fullmatch(text):
            raise StunError(f"no user name fragment of ours: {FRAGMENT_CHARS} ice-chars were expected")
        leg = text[RUN_CHARS]
        if leg not in ECHO_LEGS + CONFERENCE_LEGS:
            raise StunError(f"no user name fragment of ours: there is no leg {leg!r}")
        digest = base64.b64decode(text[SESSION_CHARS:] + "=")
        fragment = cls(text[:RUN_CHARS], leg, text[RUN_CHARS + 1 : SESSION_CHARS], digest)
        if str(fragment) != text:  # base64 leaves two bits over; only one spelling is a name
            raise StunError("no user name fragment of ours: its hash is not canonical base64")
        return fragment


def compose(run: str, leg: str, nonce: str, certificate_fingerprint: bytes) -> Fragment:
    """A fragment from its parts; `parse` of its text gives it back. Raises ValueError on parts that make none."""
    fragment = Fragment(run, leg, nonce, certificate_fingerprint)
    try:
        if Fragment.parse(str(fragment)) == fragment:
            return fragment
    except StunError:
        pass
    raise ValueError("run, leg, nonce and fingerprint make no fragment")


def nonce(random: bytes, call: str = "") -> str:
    """A nonce from NONCE_BYTES random bytes; with `call` (CALL_CHARS ice-chars) a session of that call."""
    return (call + base64_chars(random)[len(call) :])[:NONCE_CHARS]


def forwarded_ssrc(session: str) -> int:
    """The SSRC under which the stand-in forwards what this session publishes: both ends know it without signalling."""
    ssrc = int.from_bytes(hashlib.sha256(session.encode()).digest()[:4], "big")
    return ssrc if ssrc not in (0, ECHO_SSRC) else ssrc ^ 1
