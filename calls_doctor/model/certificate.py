"""Certificates as evidence: what may be wrong with one, and what is told of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from calls_doctor.model.check import Evidence


class TlsFault(StrEnum):
    """Why a certificate is not to be trusted."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_NAME = "wrong-name"
    SELF_SIGNED = "self-signed"
    UNKNOWN_AUTHORITY = "unknown-authority"
    INCOMPLETE_CHAIN = "incomplete-chain"
    """The server sends its own certificate alone: browsers may find the rest, other callers do not."""
    UNTRUSTED = "untrusted"
    """Anything else."""


OF_TIME = (TlsFault.EXPIRED, TlsFault.NOT_YET_VALID)
"""Those that another clock may judge otherwise."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a server's certificate says."""

    subject: str
    """RFC 4514."""
    issuer: str
    names: list[str]
    """Subject alternative names, DNS and IP."""
    not_before_unix_s: float
    """The latest of the chain as it was sent."""
    not_after_unix_s: float
    """The earliest of it."""
    chain_length: int | None
    """How many certificates the server sent; None: not known."""

    @property
    def evidence(self) -> Evidence:
        """The same for a check's evidence."""
        return msgspec.structs.asdict(self)
