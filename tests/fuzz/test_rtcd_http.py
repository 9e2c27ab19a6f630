"""Whatever answers in rtcd's place: its bodies are read or refused, and never break the client."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import HttpError
from calls_doctor.wire import rtcd_http
from calls_doctor.wire.rtcd_http import Refusal

SAID = st.builds(
    lambda code, error: b'{"code":"%s","error":"%s"}' % (code.encode(), error.encode()),
    st.sampled_from(["200", "400", "401", "403"]),
    st.sampled_from(["", "EOF", "authentication failed", "login failed: authentication failed: error", "unregister"]),
)


@given(st.integers(100, 599), st.binary() | SAID)
def test_any_answer_is_a_refusal_or_none(status: int, body: bytes) -> None:
    why = rtcd_http.refusal(status, body)
    assert why is None or why in Refusal
    assert why is not None or status in (200, 201)
    for read in (rtcd_http.token_of, rtcd_http.sessions_of):
        with suppress(HttpError):
            read(body)
    rtcd_http.cpu_load(body)
