"""A secret leaves by `reveal()` alone: not by any way in which a value is written down by accident."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import msgspec
import pytest

from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials

CANARY = "canary-5b1d"
SECRET = Secret(CANARY)
HOLDERS = [
    SECRET,
    TurnCredentials("user", SECRET),
    Credentials(
        rtcd_auth_key=SECRET,
        turn_secret=SECRET,
        turn=TurnCredentials("user", SECRET),
        mattermost_tokens=(SECRET,),
    ),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_no_text_of_it_shows_it(holder: object) -> None:
    for text in (repr(holder), str(holder), f"{holder}", f"{holder!r:>200}", "%s %r" % (holder, holder)):  # noqa: UP031 logging formats so
        assert CANARY not in text


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_it_cannot_be_encoded_or_copied(holder: object) -> None:
    for write in (pickle.dumps, json.dumps, msgspec.json.encode, msgspec.msgpack.encode, copy.deepcopy):
        with pytest.raises(TypeError) as caught:
            write(holder)
        assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_dataclass_that_holds_it_cannot_be_made_a_dict() -> None:
    with pytest.raises(TypeError):
        dataclasses.asdict(TurnCredentials("user", SECRET))


def test_it_has_no_attributes_to_walk_over() -> None:
    assert not hasattr(SECRET, "__dict__")


def test_it_gives_its_text_where_asked_and_knows_whether_it_is_empty() -> None:
    assert SECRET.reveal() == CANARY
    assert SECRET and not Secret("")


def test_without_an_environment_nothing_is_given() -> None:
    assert Credentials() == Credentials(None, None, None, None, ())
