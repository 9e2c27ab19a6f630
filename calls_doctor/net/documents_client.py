"""Fetches the far end's documents and hands in ours, page by page in Binding requests and answers, over whatever
channel it is given.

Nothing here judges them. A page that is lost is asked for again, with its transaction id, so that all pages are of the
snapshot that page 0 was cut from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from calls_doctor.errors import BooksError
from calls_doctor.model.flow import Transport
from calls_doctor.net import pace
from calls_doctor.net.exchange import Answer, Exchange
from calls_doctor.wire import documents, stun
from calls_doctor.wire.documents import Document
from calls_doctor.wire.pages import REQUEST_BYTES, PageReader, pages_of
from calls_doctor.wire.stun import AttributeType

SCHEDULE_S = (0.0, 0.1, 0.25, 0.5)
"""When a request is sent, seconds after the first."""
SILENCE_S = 1.0
"""When silence is decided."""
WINDOW = 8
"""Pages asked for at once."""


async def fetch(
    exchange: Exchange, document: Document, likely_pages: int = 1, nonces: Sequence[str] = ()
) -> bytes | None:
    """The whole document; None where a page stays out for SILENCE_S, or there is none. `likely_pages` are asked for
    before the first has told how many there are, which saves a round trip. Books are of the sessions with these nonces,
    or of all."""
    for pages in (min(likely_pages, WINDOW), 1):
        reader = PageReader()
        asked = list(range(pages))
        try:
            while asked:
                wanted = [(stun.DOCUMENT_REQUEST, documents.pack_request(document, page, nonces)) for page in asked]
                answers = await _asked(exchange, wanted)
                if answers is None:
                    return None
                values = [answer.message.get(stun.BOOKS) or b"" for answer in answers]
                for value in values[:1] + [one for one in values[1:] if one]:  # there may be fewer than was likely
                    reader.feed(value)
                asked = reader.missing()[:WINDOW]
            return reader.whole()
        except BooksError:
            continue  # a new page 0 makes a new snapshot; pages that do not fit together are worth one more
    return None


async def hand_in(exchange: Exchange, document: Document, whole: bytes) -> bool:
    """True where the far end has it whole and could read it; False where a page stays unanswered for SILENCE_S, or
    no receipt comes, or it is too large to travel."""
    try:
        pages = pages_of(whole)
    except BooksError:
        return False
    values = [(stun.DOCUMENT_PAGE, documents.pack_page(document, page)) for page in pages]
    answers: list[Answer] = []
    for at in range(0, len(values), WINDOW):
        some = await _asked(exchange, values[at : at + WINDOW])
        if some is None:
            return False
        answers = some
    return any(answer.message.get(stun.BOOKS) == documents.RECEIPT for answer in answers)


async def _asked(exchange: Exchange, attributes: Sequence[tuple[AttributeType[bytes], bytes]]) -> list[Answer] | None:
    """The answers to requests with these attributes, in order; None where one stays out."""
    assert exchange.channel is not None, "documents travel over an open channel"
    loop = asyncio.get_running_loop()
    ids = {exchange.new_id(): attribute for attribute in attributes}
    over_tcp = exchange.channel.path.transport is Transport.TCP
    schedule_s = SCHEDULE_S[:1] if over_tcp else SCHEDULE_S
    await pace.room(exchange.channel.path.remote, len(ids), of_bytes=REQUEST_BYTES)
    began_at = loop.time()
    for _, next_s in pairwise([*schedule_s, SILENCE_S]):
        for transaction_id, attribute in ids.items():
            if transaction_id not in exchange.answers:
                exchange.ask(transaction_id, attribute, REQUEST_BYTES)
        if await exchange.answered(ids, began_at + next_s):
            return [exchange.answers[one] for one in ids]
        if exchange.dead:
            break
    return None
