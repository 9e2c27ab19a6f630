"""What a stand-in tells travels as JSON and comes back the same; an older stand-in tells less."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.facts import Announced, Facts, StunSeen

LEAST = {
    "local_addresses": ["10.0.0.2"], "public_addresses": ["203.0.113.20"], "media_port": 8443, "announced": [],
    "needs_stun": True, "stun": [], "control_port": 0,
}  # fmt: skip


def test_facts_read_back_what_they_wrote() -> None:
    facts = Facts(
        local_addresses=["10.0.0.2", "fd00::2"],
        public_addresses=["203.0.113.20"],
        media_port=8443,
        announced=[Announced(kind="mapped", protocol="tcp", address="203.0.113.20", port=8443)],
        needs_stun=False,
        stun=[StunSeen(uri="stun:a:3478", mapped=("203.0.113.20", 1)), StunSeen(uri="b", mapped=None, trouble="x")],
        control_port=23456,
        api_port=8045,
        turn_username="1:calls",
        turn_credential="x",
        unix_time_s=1.25,
    )
    assert msgspec.json.decode(msgspec.json.encode(facts), type=Facts) == facts


def test_what_an_older_stand_in_does_not_tell_is_nothing() -> None:
    facts = msgspec.convert(LEAST, Facts)
    assert (facts.api_port, facts.turn_username, facts.turn_credential, facts.unix_time_s) == (0, "", "", 0.0)


@pytest.mark.parametrize("name", LEAST)
def test_what_each_tells_must_be_there(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert({key: value for key, value in LEAST.items() if key != name}, Facts)
