"""What time it is elsewhere, by an HTTP server's Date: one second fine, and as late as the way back is long."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from calls_doctor.errors import HttpError
from calls_doctor.net import http
from calls_doctor.net.http import HttpAnswer

DATE_TICK_S = 1.0
AGE_MAX_S = 10**9


@dataclass(frozen=True)
class Reading:
    """Another clock beside this machine's."""

    offset_s: float
    """Theirs less ours."""
    uncertainty_s: float
    """By how much that may be wrong, either way."""


async def of_http(url: str, timeout_s: float) -> Reading:
    """By the Date of an answer to GET of this URL; connecting and answering may take `timeout_s` each.

    The certificate is not asked: a wrong clock is why it may not be trusted, and nothing but the time is taken.
    Raises what `http.get` raises, and HttpError where the answer has no date.
    """
    stream = await http.connect(url, timeout_s, verified=False)
    began_s = time.time()
    answer = await http.get_over(stream, url, timeout_s)
    told_s = _told_s(answer)
    if told_s is None:
        raise HttpError(f"the answer of {http.shown(url)} has no date")
    return between(told_s + DATE_TICK_S / 2, began_s, time.time(), DATE_TICK_S / 2)


def between(told_s: float, began_s: float, ended_s: float, uncertainty_s: float = 0.0) -> Reading:
    """What was told at some moment between two of this machine's wall clock, all in seconds since 1970."""
    middle_s = (began_s + ended_s) / 2
    return Reading(round(told_s - middle_s, 3), round((ended_s - began_s) / 2 + uncertainty_s, 3))


def _told_s(answer: HttpAnswer) -> float | None:
    """What a cache gives out was dated when it was made; its Age is added (RFC 9111 section 5.1)."""
    try:
        date_s = parsedate_to_datetime(answer.header("date")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # what the library makes of texts that are no date
        return None
    age = answer.header("age")
    return date_s + (min(int(age), AGE_MAX_S) if age.isascii() and age.isdecimal() else 0)
