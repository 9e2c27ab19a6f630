"""The tree of errors: who was wrong, one sentence each, and nothing lost on the way."""

from __future__ import annotations

import pickle

import pytest

from calls_doctor import errors
from calls_doctor.errors import (
    CallsDoctorError,
    Cut,
    FarEndError,
    Forbidden,
    NetworkError,
    NoRoute,
    NotSent,
    ProtocolError,
    Refused,
    Silence,
    StunError,
    Unreachable,
    Unresolved,
    UsageError,
)

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


def test_everything_raised_on_purpose_has_one_root() -> None:
    assert all(issubclass(kind, CallsDoctorError) for kind in ALL)
    assert len(ALL) == 24


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_tree_at_the_head_of_the_file_shows_each_and_each_says_what_it_is(kind: type) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__doc__


def test_the_branches_are_apart() -> None:
    """Whoever catches the network's faults must not swallow a usage error, and the other way round."""
    branches = (UsageError, ProtocolError, FarEndError, NetworkError)
    for one in ALL:
        assert sum(issubclass(one, branch) for branch in branches) == (one is not CallsDoctorError)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UsageError("--stun: no"), "--stun: no"),
        (StunError("too short"), "too short"),
        (FarEndError("the login", 486, "a quota"), "the login was refused with 486 (a quota)"),
        (FarEndError("the login", 401), "the login was refused with 401"),
        (NetworkError("TCP to h:1"), "TCP to h:1 failed"),
        (Silence("UDP to h:1", 2.55), "UDP to h:1: nothing came back in 2.5 s"),
        (Silence("UDP to h:1", 1.0, "7 requests"), "UDP to h:1: nothing came back in 1 s (7 requests)"),
        (Refused("TCP to h:1"), "TCP to h:1 was refused"),
        (Unreachable("UDP to h:1", 0.1, "ICMP 3/1"), "UDP to h:1 is unreachable (ICMP 3/1)"),
        (NotSent("TCP to h:1", detail="EMFILE"), "TCP to h:1 could not be sent from this machine (EMFILE)"),
        (NoRoute("TCP to h:1", detail="h"), "this machine has no route to h"),
        (Forbidden("UDP to h:1", detail="EPERM"), "UDP to h:1 is forbidden by this machine's own firewall (EPERM)"),
        (Cut("the stream"), "the stream was cut"),
        (Unresolved("the look-up of a", 0.0, "no such name"), "the look-up of a failed (no such name)"),
    ],
)  # fmt: skip
def test_the_sentences(error: CallsDoctorError, sentence: str) -> None:
    assert str(error) == sentence


def test_an_error_carries_facts() -> None:
    refused = FarEndError("the allocation", 486, "quota")
    assert (refused.what, refused.code, refused.reason) == ("the allocation", 486, "quota")
    silent = Silence("UDP to h:1", 2.5, "7 requests")
    assert (silent.what, silent.after_s, silent.detail) == ("UDP to h:1", 2.5, "7 requests")


@pytest.mark.parametrize(
    "error", [FarEndError("a", 1, "b"), NetworkError("a", 1.0, "b"), Silence("a", 1.0), Refused("a"), StunError("a")]
)
def test_an_error_survives_the_way_between_processes(error: CallsDoctorError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
