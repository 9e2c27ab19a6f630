# Invariant: whatever the text, `parse_link` gives a Link whose text says the same or raises UsageError without the
# key in its sentence, and `Fragment.parse` gives a Fragment that is spelt exactly so or raises StunError.

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from calls_doctor.errors import StunError, UsageError
from calls_doctor.wire import direct
from calls_doctor.wire.direct import Fragment, Keys, Link

KEY = bytes(range(16))
KEY_TEXT = "AAECAwQFBgcICQoLDA0ODw"
LINK = str(Link("192.0.2.7", 8443, Keys(KEY), bytes(range(32)), "calls.example.com"))
FRAGMENT = str(direct.compose("AAAAAAAA", "u", "BBBBBBBB", bytes(range(32))))
ICE_TEXT = st.text("ABCXYZabcxyz0189+/utrmUTR", min_size=60, max_size=60)


def check_link(text: str) -> None:
    try:
        link = direct.parse_link(text)
    except UsageError as error:
        assert KEY_TEXT not in str(error)
        return
    again = direct.parse_link(str(link))
    assert again == link and again.keys.reveal() == link.keys.reveal()
    assert KEY_TEXT not in link.shown and KEY_TEXT not in repr(link)
    assert link.shown.isprintable()


def check_fragment(text: str) -> None:
    try:
        fragment = Fragment.parse(text)
    except StunError:
        return
    assert str(fragment) == text
    assert direct.compose(fragment.run, fragment.leg, fragment.nonce, fragment.digest) == fragment


@given(st.text())
def test_any_text(text: str) -> None:
    check_link(text)
    check_link("calls-doctor://" + text)
    check_fragment(text)


@given(st.text(), st.text(), st.text())
@example("192.0.2.1:1", "name=a%0ab", KEY_TEXT)
@example("[::1", "", "")
@example("192.0.2.1:99999", "", "")
def test_any_parts(netloc: str, query: str, secret: str) -> None:
    check_link(f"calls-doctor://{netloc}/?{query}#{secret}")
    check_link(f"calls-doctor://192.0.2.1:1/?{query}#{KEY_TEXT}.{'A' * 43}")
    check_link(f"calls-doctor://{netloc}/#{KEY_TEXT}.{'A' * 43}")


@given(st.integers(0, len(LINK)), st.integers(0, len(LINK)), st.characters())
def test_a_real_link_cut_or_changed(at: int, end: int, character: str) -> None:
    check_link(LINK[:at])
    check_link(LINK[:at] + character + LINK[at + 1 :])
    check_link(LINK[:at] + LINK[end:])


@given(st.integers(0, 59), st.characters(), ICE_TEXT)
def test_a_real_fragment_cut_or_changed(at: int, character: str, text: str) -> None:
    check_fragment(FRAGMENT[:at])
    check_fragment(FRAGMENT[:at] + character + FRAGMENT[at + 1 :])
    check_fragment(text)
