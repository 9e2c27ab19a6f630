"""Who may open what with a run's key."""

from __future__ import annotations

from calls_doctor.standin.admission import Admission
from calls_doctor.wire.direct import ECHO_SSRC, NO_CERTIFICATE, Keys, compose, forwarded_ssrc

KEYS = Keys(bytes(range(16)))
DIGEST = bytes(range(32))


def test_an_echo_and_a_conference() -> None:
    admit = Admission(KEYS)
    echo = compose(KEYS.run, "u", "abcdefgh", DIGEST)
    grant = admit(str(echo))
    assert grant is not None
    assert (grant.session, grant.call, grant.publishes_as, grant.leg) == (echo.session, None, ECHO_SSRC, "u")
    assert (grant.password, grant.peer_fingerprint) == (KEYS.password(str(echo)), DIGEST)
    conference = admit(str(compose(KEYS.run, "T", "callnonc", NO_CERTIFICATE)))
    assert conference is not None
    assert (conference.call, conference.publishes_as) == ("call", forwarded_ssrc(conference.session))
    assert grant.password not in repr(grant)


def test_other_runs_and_other_programs_are_counted_apart() -> None:
    admit = Admission(KEYS)
    assert admit(str(compose("A" * 8, "u", "abcdefgh", DIGEST))) is None
    assert admit("noise") is admit("") is admit("x" * 60) is None
    assert (admit.foreign_runs, admit.unreadable) == (1, 3)
