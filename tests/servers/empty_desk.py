"""A desk that has no document and takes none, for tests in which nobody asks for any."""

from __future__ import annotations

from collections.abc import Sequence

from calls_doctor.wire.documents import Document


class EmptyDesk:
    """wire/ice_lite.py's Desk."""

    def document(self, _document: Document, _nonces: Sequence[str]) -> bytes:
        return b""

    def hand_in(self, _document: Document, _page: bytes) -> bytes:
        return b""
