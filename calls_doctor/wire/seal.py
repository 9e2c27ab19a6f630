"""Sealed messages between the two ends of a run: a TURN credential, books, a whole report.

HKDF (RFC 5869) from the run's key and ChaCha20-Poly1305 (RFC 8439), both of the `cryptography` package. A seal is
bound to the run, what it is for and the direction, so none can be played back as another. Random bytes are arguments.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from calls_doctor.errors import SealError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
"""What a seal adds to what is sealed."""
SALT = b"calls-doctor/1 seal"


class Sealer:
    """Seals and opens messages of one purpose ("books", "report", "turn") in one direction of one run.

    `key` are the run's 16 bytes (`direct.Keys.reveal()`); its repr shows nothing.
    """

    def __init__(self, key: bytes, run: str, purpose: str, to_far: bool) -> None:
        self._context = f"{run} {purpose} {'to far' if to_far else 'from far'}".encode()
        derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=SALT, info=self._context).derive(key)
        self._cipher = ChaCha20Poly1305(derived)

    def seal(self, plain: bytes, nonce: bytes) -> bytes:
        """Nonce, ciphertext and tag; `nonce` are NONCE_BYTES random bytes, never used twice."""
        return nonce + self._cipher.encrypt(nonce, plain, self._context)

    def open(self, sealed: bytes) -> bytes:
        """What was sealed. Raises SealError, and nothing else, where it was not sealed so, or was altered."""
        if len(sealed) < OVERHEAD_BYTES:
            raise SealError(f"a sealed message has at least {OVERHEAD_BYTES} bytes, not {len(sealed)}")
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._context)
        except InvalidTag:
            raise SealError("a sealed message was altered, or sealed for something else") from None
