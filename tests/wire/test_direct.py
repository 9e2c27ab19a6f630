"""The direct-call scheme: known answers computed here with hashlib alone, links as they are typed and mistyped."""

from __future__ import annotations

import base64
import hashlib
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.errors import StunError, UsageError
from calls_doctor.wire import direct
from calls_doctor.wire.direct import Fragment, Keys, Link

KEY = bytes(range(16))
DIGEST = hashlib.sha256(b"a certificate").digest()
FINGERPRINT = hashlib.sha256(b"the stand-in's certificate").digest()


def derived(label: str, text: str = "") -> bytes:
    """direct-call.md section 2: hm(label, s)."""
    return hmac.new(KEY, b"calls-doctor/1 " + label.encode() + b"\0" + text.encode(), hashlib.sha256).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def test_known_answers_of_the_scheme() -> None:
    keys = Keys(KEY)
    run = b64(derived("run"))[:8]
    fragment = run + "u" + b64(bytes(range(6))) + b64(DIGEST)
    assert keys.run == run == "VDQ8oqQj"
    assert str(direct.compose(keys.run, "u", direct.nonce(bytes(range(6))), DIGEST)) == fragment
    assert len(fragment) == direct.FRAGMENT_CHARS == 60
    assert keys.password(fragment) == b64(derived("pwd", fragment))
    assert len(keys.password(fragment)) == 43
    assert keys.api_client_id == "calls-doctor-" + derived("api id").hex()[:16]
    assert keys.api_auth_key.reveal() == derived("api key").hex()[:48]


def test_every_key_is_another_run_and_every_fragment_another_password() -> None:
    one, other = Keys(KEY), Keys(bytes(16))
    assert one.run != other.run and one.api_client_id != other.api_client_id
    assert len({keys.password(text) for keys in (one, other) for text in ("a", "b")}) == 4


@given(st.binary(min_size=16, max_size=16))
def test_what_is_derived_keeps_to_ice_and_rtcd(key: bytes) -> None:
    keys = Keys(key)
    fragment = direct.compose(keys.run, "t", direct.nonce(key[:6]), DIGEST)
    alphabet = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    assert set(str(fragment) + keys.password(str(fragment))) <= alphabet  # ice-char, RFC 8839 section 5.4
    assert 32 <= len(keys.api_auth_key.reveal()) <= 72 and 1 <= len(keys.api_client_id) <= 64  # rtcd's limits


def test_keys_show_nothing() -> None:
    keys = Keys(KEY)
    link = Link("192.0.2.1", 8443, keys, FINGERPRINT)
    for text in (repr(keys), str(keys), f"{keys}", repr(link)):
        assert "AAECAwQF" not in text and "\\x01\\x02" not in text and KEY.hex() not in text
    for thing in (keys, link):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(thing)
    with pytest.raises(ValueError, match="16 bytes, not 15"):
        Keys(KEY[1:])


# Links

TEXT = "calls-doctor://192.0.2.7:8443/?name=calls.example.com#AAECAwQFBgcICQoLDA0ODw." + base64.urlsafe_b64encode(
    FINGERPRINT
).decode().rstrip("=")


def test_a_link_as_it_is_printed() -> None:
    link = Link("192.0.2.7", 8443, Keys(KEY), FINGERPRINT, "calls.example.com")
    assert str(link) == TEXT
    read = direct.parse_link(TEXT)
    assert read == link and read.keys.reveal() == KEY and read.fingerprint == FINGERPRINT
    assert read.shown == "calls.example.com:8443"


@pytest.mark.parametrize(("address", "name", "shown", "begins"), [
    ("2001:db8::1", "", "[2001:db8::1]:9000", "calls-doctor://[2001:db8::1]:9000/#"),
    ("192.0.2.7", "", "192.0.2.7:9000", "calls-doctor://192.0.2.7:9000/#"),
    ("fe80::1%eth0", "", "[fe80::1%eth0]:9000", "calls-doctor://[fe80::1%eth0]:9000/#"),
    ("192.0.2.7", "bücher.example", "bücher.example:9000", "calls-doctor://192.0.2.7:9000/?name=b%C3%BCcher"),
])  # fmt: skip
def test_links_of_every_kind_of_address(address: str, name: str, shown: str, begins: str) -> None:
    link = Link(address, 9000, Keys(KEY), FINGERPRINT, name)
    assert str(link).startswith(begins) and link.shown == shown
    assert direct.parse_link(str(link)) == link


def test_a_link_that_a_terminal_broke_is_healed() -> None:
    link = direct.parse_link(TEXT)
    assert direct.parse_link(f"  {TEXT}\n") == link
    assert direct.parse_link(f"{TEXT[:70]}\n{TEXT[70:]}") == link


@pytest.mark.parametrize(("text", "says"), [
    ("", "begins with calls-doctor://"),
    (TEXT.replace("calls-doctor:", "https:"), "begins with calls-doctor://"),
    (TEXT.replace("192.0.2.7", "calls.example.com"), "no IP address and port"),
    (TEXT.replace("192.0.2.7", "[192.0.2.7"), "no IP address and port"),
    (TEXT.replace(":8443", ""), "names no port"),
    (TEXT.replace(":8443", ":0"), "names no port"),
    (TEXT.replace(":8443", ":99999"), "no IP address and port"),
    (TEXT.replace("calls.example", "calls%1b[31m"), "no host name"),
    (TEXT.replace("calls.example", "calls%20example"), "no host name"),
    (TEXT.partition("#")[0], r"192\.0\.2\.7:8443 is incomplete .* in quotes"),
    (TEXT[:-1], "is incomplete"),
    (TEXT + "A", "is incomplete"),
    (TEXT.replace(".com#", ".com#_"), "is incomplete"),
    (TEXT.replace("Dw.", "Dx."), "is incomplete"),
    (TEXT + "#" * 1024, "is too long"),
])  # fmt: skip
def test_a_link_that_is_none_is_a_sentence_without_the_key(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        direct.parse_link(text)
    assert "AAECAwQF" not in str(caught.value) and caught.value.__cause__ is None


# Fragments


def test_a_fragment_reads_back() -> None:
    fragment = direct.compose("Run/Name", "U", "callAAAA", DIGEST)
    again = Fragment.parse(str(fragment))
    assert again == fragment
    assert again.session == "Run/NameUcallAAAA" and again.call == "call" and again.digest == DIGEST


@pytest.mark.parametrize(("leg", "conference"), [(leg, leg.isupper()) for leg in "utrmUTR"])
def test_legs_in_capitals_are_conferences(leg: str, conference: bool) -> None:
    assert direct.compose("AAAAAAAA", leg, "BBBBBBBB", DIGEST).is_conference is conference


GOOD = str(direct.compose("AAAAAAAA", "u", "BBBBBBBB", DIGEST))


@pytest.mark.parametrize("text", [
    "", GOOD[:-1], GOOD + "A", GOOD.replace("u", "x", 1), GOOD.replace("AAAA", "AA-A", 1), GOOD.replace("A", "Ä", 1),
    GOOD[:-1] + chr(ord(GOOD[-1]) + 1),  # the same bytes, spelt with other spare bits
])  # fmt: skip
def test_what_is_no_fragment_is_refused(text: str) -> None:
    with pytest.raises(StunError, match="no user name fragment of ours"):
        Fragment.parse(text)


@pytest.mark.parametrize(("run", "leg", "nonce", "digest"), [
    ("AAAAAAA", "u", "BBBBBBBB", DIGEST), ("AAAAAAAA", "q", "BBBBBBBB", DIGEST), ("AAAAAAAA", "u", "BBBBBBB-", DIGEST),
    ("AAAAAAAA", "u", "BBBBBBBB", DIGEST[1:]), ("AAAAAAAAu", "", "BBBBBBBB", DIGEST),
])  # fmt: skip
def test_parts_that_make_no_fragment_are_our_own_mistake(run: str, leg: str, nonce: str, digest: bytes) -> None:
    with pytest.raises(ValueError, match="make no fragment"):
        direct.compose(run, leg, nonce, digest)


def test_nonces_of_one_call_share_its_name() -> None:
    assert direct.nonce(b"\xff" * direct.NONCE_BYTES) == "////////"
    assert len(direct.base64_chars(bytes(direct.NONCE_BYTES))) == direct.NONCE_CHARS, "none is drawn in vain"
    assert direct.nonce(b"\xff" * direct.NONCE_BYTES, "call") == "call////"
    session = direct.compose("AAAAAAAA", "U", direct.nonce(bytes(direct.NONCE_BYTES), "call"), DIGEST)
    assert session.call == "call"


def test_both_ends_know_the_ssrc_of_a_forwarded_session() -> None:
    session = "Run/NameUcallAAAA"
    expected = int.from_bytes(hashlib.sha256(session.encode()).digest()[:4], "big")
    assert direct.forwarded_ssrc(session) == expected
    assert direct.ECHO_SSRC == 0x0CD0EC40
