"""Fetches the far end's books, page by page in Binding answers, over whatever channel it is given.

Nothing here judges them. A page that is lost is asked for again, with its transaction id, so that all pages are of the
snapshot that page 0 was cut from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from calls_doctor.errors import BooksError
from calls_doctor.model.books import RunBooks
from calls_doctor.model.flow import Transport
from calls_doctor.net.exchange import Exchange
from calls_doctor.wire import documents, stun
from calls_doctor.wire.books import BooksReader
from calls_doctor.wire.documents import Document
from calls_doctor.wire.pages import REQUEST_BYTES

SCHEDULE_S = (0.0, 0.1, 0.25, 0.5)
"""When a request is sent, seconds after the first."""
SILENCE_S = 1.0
"""When silence is decided."""
WINDOW = 8
"""Pages asked for at once."""
ATTEMPTS = 2
"""A new page 0 makes a new snapshot; pages that do not fit together are worth one more."""


async def fetch(exchange: Exchange) -> RunBooks | None:
    """The books; None where a page stays out for SILENCE_S, or what comes is none."""
    for _ in range(ATTEMPTS):
        reader = BooksReader()
        try:
            while missing := reader.missing():
                values = await _pages(exchange, missing[:WINDOW])
                if values is None:
                    return None
                for value in values:
                    reader.feed(value)
            return reader.books()
        except BooksError:
            continue
    return None


async def _pages(exchange: Exchange, pages: Sequence[int]) -> list[bytes] | None:
    """The values of BOOKS for these pages; None where one stays out."""
    assert exchange.channel is not None, "books are fetched over an open channel"
    loop = asyncio.get_running_loop()
    ids = {exchange.new_id(): page for page in pages}
    over_tcp = exchange.channel.path.transport is Transport.TCP
    schedule_s = SCHEDULE_S[:1] if over_tcp else SCHEDULE_S
    began_at = loop.time()
    for _, next_s in pairwise([*schedule_s, SILENCE_S]):
        for transaction_id, page in ids.items():
            if transaction_id not in exchange.answers:
                request = (stun.DOCUMENT_REQUEST, documents.pack_request(Document.BOOKS, page))
                exchange.ask(transaction_id, request, REQUEST_BYTES)
        if await exchange.answered(ids, began_at + next_s):
            return [exchange.answers[one].message.get(stun.BOOKS) or b"" for one in ids]
        if exchange.dead:
            break
    return None
