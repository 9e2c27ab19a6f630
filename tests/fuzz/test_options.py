# Invariant: whatever is typed, it is a value or one UsageError of one printable line that repeats little of it; and
# what was read writes itself so that it is read as the same again.

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls_doctor.errors import UsageError
from calls_doctor.site import environment, options

SENTENCE_CHARS_MAX = 300
ANY = st.text(max_size=80) | st.text(alphabet="stunr:/[]@?=.-0123456789abc%#\x00\x1b é", max_size=40)
PARSERS: dict[str, Callable[[str], object]] = {
    "stun": options.stun_uri,
    "turn": options.turn_uri,
    "mode": options.mode,
    "vantage": options.vantage,
    "duration": lambda text: options.duration_s(text, "--wait"),
    "port": lambda text: options.port(text, "--port"),
    "ports": lambda text: options.port_range(text, "--ports"),
    "host": lambda text: options.host(text, "--host"),
    "url": lambda text: options.http_url(text, "--rtcd-url"),
    "pair": lambda text: options.pair(text, "--metadata"),
}


@contextlib.contextmanager
def one_sentence_at_most() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        said = str(error)
        assert said.isprintable(), said
        assert len(said) <= SENTENCE_CHARS_MAX, said


@pytest.mark.parametrize("name", PARSERS)
@given(text=ANY)
@example(text="stun:" + "[" * 60)
@example(text="http://[")
@example(text="http://h:1:1")
@example(text="turn:h:٣")
@example(text="turn:\ud800")
@example(text="http://\ud800")
def test_any_text(name: str, text: str) -> None:
    with one_sentence_at_most():
        PARSERS[name](text)


@given(text=ANY)
def test_a_uri_that_is_read_writes_itself_the_same(text: str) -> None:
    with contextlib.suppress(UsageError):
        for read in (options.stun_uri, options.turn_uri):
            with contextlib.suppress(UsageError):
                assert read(str(read(text))) == read(text)


@given(text=ANY)
def test_a_url_that_is_read_writes_itself_the_same(text: str) -> None:
    with contextlib.suppress(UsageError):
        url = options.http_url(text, "x")
        assert options.http_url(url, "x") == url


@given(values=st.dictionaries(st.sampled_from(sorted(environment.SECRETS)), st.text(max_size=20), max_size=7))
def test_any_environment(values: dict[str, str]) -> None:
    with one_sentence_at_most():
        found = environment.credentials(values)
        shown = repr(found)
        public = values.get("CALLS_DOCTOR_RTCD_CLIENT_ID", "") + values.get("CALLS_DOCTOR_TURN_USERNAME", "")
        fields = repr(environment.credentials({}))
        for name in ("CALLS_DOCTOR_TURN_SECRET", "CALLS_DOCTOR_RTCD_AUTH_KEY", "CALLS_DOCTOR_TURN_CREDENTIAL"):
            secret = values.get(name, "")
            # one of a few characters may stand in any text, and one that is also a name, or part of a field's, is none
            assert len(secret) < 8 or secret in public or secret in fields or secret not in shown
