"""Whose clock is wrong, and what that explains: a certificate or a credential is not to blame where a clock is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.diagnosis.clock_signs import Clock, others, scales
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Confidence, Diagnosis
from tests.diagnosis import findings as f

HOUR_S = 3600.0
UNDECIDED = (Party.UNDECIDED, Confidence.LIKELY)


def one(*results: CheckResult) -> Diagnosis:
    (found,) = f.diagnosed(*results)
    return found


def whose(*results: CheckResult) -> tuple[Party, Confidence]:
    found = one(*results)
    assert found.cause == "clock.skewed"
    return found.party, found.confidence


def test_two_clocks_alone_do_not_tell_which_is_wrong() -> None:
    found = one(f.clocks(site=HOUR_S))
    assert (found.cause, found.party, found.confidence) == ("clock.skewed", *UNDECIDED)
    assert "third clock" in found.remedy.steps[0]
    assert whose(f.clocks(rtcd=HOUR_S, stand_in=HOUR_S)) == UNDECIDED, "both are the media host's one clock"


def test_what_two_machines_agree_on_is_right() -> None:
    assert whose(f.clocks(site=HOUR_S, stand_in=HOUR_S + 1)) == (Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert whose(f.clocks(site=HOUR_S, stand_in=0.5)) == (Party.MATTERMOST_HOST, Confidence.CERTAIN)
    assert whose(f.clocks(site=0.2, stand_in=-HOUR_S)) == (Party.MEDIA_HOST, Confidence.CERTAIN)
    assert whose(f.clocks(site=0.2, turn=-HOUR_S)) == (Party.TURN_HOST, Confidence.CERTAIN)
    found = one(f.clocks(site=HOUR_S, stand_in=HOUR_S))
    assert (found.subject, found.summary) == (
        "client",
        "the clock of client is 3600 s behind: others agree with each other",
    )


def test_two_who_agree_are_not_right_where_two_others_agree_as_well() -> None:
    both = [f.clocks(site=HOUR_S, stand_in=HOUR_S), f.clocks(at="offloader", site=HOUR_S, stand_in=HOUR_S)]
    assert whose(*both) == UNDECIDED


def test_a_second_caller_decides() -> None:
    a, b = f.clocks(at="client", site=HOUR_S), f.clocks(at="offloader", site=0.3)
    assert whose(a, b) == (Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert whose(
        f.clocks(site=HOUR_S), f.clocks(at="mattermost", stand_in=0.0), f.clocks(stand_in=HOUR_S, at="offloader")
    ) == (UNDECIDED)
    assert whose(a, f.clocks(at="offloader", site=HOUR_S)) == (Party.MATTERMOST_HOST, Confidence.CERTAIN)


def test_without_timed_credentials_it_is_a_warning_without_a_cause() -> None:
    assert f.causes(f.clocks(timed=False, site=HOUR_S)) == []
    assert f.causes(f.clocks(site=20.0)) == [] == f.causes(f.clocks(site=1.0))


# --- certificates ---


def test_a_caller_whose_clock_is_wrong_takes_good_certificates_for_expired() -> None:
    ahead = [f.expired(days_ago=3), f.clocks(timed=False, site=-10 * f.DAY_S, stand_in=-10 * f.DAY_S)]
    assert whose(*ahead) == (Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert one(*ahead).because == ["clocks.skew", "tls.site"]
    alone = [f.expired(days_ago=3), f.clocks(timed=False, site=-10 * f.DAY_S)]
    assert whose(*alone) == UNDECIDED, "or the site's clock hides that its certificate has expired"
    behind = [f.certificate("not-yet-valid", 2.0, 90.0), f.clocks(timed=False, site=5 * f.DAY_S)]
    assert whose(*behind) == UNDECIDED


def test_one_that_has_expired_by_every_clock_has_expired() -> None:
    for skew in (f.clocks(site=0.2), f.clocks(timed=False, site=-HOUR_S), f.clocks(site=0.2, stand_in=0.1)):
        found = one(f.expired(days_ago=3), skew)
        assert (found.cause, found.party, found.confidence) == (
            "tls.expired", Party.MATTERMOST_HOST, Confidence.CERTAIN,
        )  # fmt: skip
    assert one(f.expired()).confidence is Confidence.LIKELY, "nobody else's clock was read"
    both = f.causes(f.expired(days_ago=3), f.clocks(site=-HOUR_S))
    assert sorted(both) == ["clock.skewed", "tls.expired"], "an hour does not explain three days"


def test_a_site_whose_clock_is_behind_does_not_hide_that_its_certificate_has_expired() -> None:
    """This caller and the stand-in agree, so the site's clock is wrong, and by theirs the certificate is over."""
    results = [f.expired(days_ago=3), f.clocks(site=-10 * f.DAY_S, stand_in=0.1)]
    assert sorted(f.causes(*results)) == ["clock.skewed", "tls.expired"]


def test_one_that_is_not_yet_valid_by_every_clock_is_invalid() -> None:
    assert f.causes(f.certificate("not-yet-valid", 2.0, 90.0), f.clocks(site=0.1)) == ["tls.invalid"]


def test_the_same_for_rtcds_api_as_a_node_finds_it() -> None:
    """The node's clock is ten days ahead; the site's Date is its own, and the stand-in's machine is another."""
    for fault, dates, by_s in (("expired", (-90.0, -3.0), -10 * f.DAY_S), ("not-yet-valid", (2.0, 90.0), 10 * f.DAY_S)):
        api = f.api("connect", "tls", at="mattermost")
        api.evidence.update(fault=fault, **f.dates(*dates))
        found = one(api, f.clocks(at="mattermost", timed=False, stand_in=by_s))
        assert (found.cause, found.because) == ("clock.skewed", ["clocks.skew", "port.api-tcp"])
        assert f.causes(api, f.clocks(at="mattermost", stand_in=0.1)) == [
            "tls.expired" if fault == "expired" else "tls.invalid"
        ]


def turn_tls(fault: str, ends_days: float) -> list[CheckResult]:
    row = f.turn_row(f.TURNS, "tls", fault=fault) | f.dates(-90.0, ends_days)
    looked = f.result("tls.turn", Status.FAIL, f.TURNS, servers=[row])
    return [looked, f.turn("turn.challenge", f.turn_row(f.TURNS, "tls"))]


def test_the_same_for_turn_over_tls() -> None:
    off = f.clocks(timed=False, site=-10 * f.DAY_S, stand_in=-10 * f.DAY_S)
    found = one(*turn_tls("expired", -3.0), off)
    assert (found.cause, found.because) == ("clock.skewed", ["clocks.skew", "tls.turn", "turn.challenge"])
    assert f.causes(*turn_tls("expired", -3.0), f.clocks(site=0.1)) == ["turn.tls-invalid"]
    wrong_name = f.causes(*turn_tls("wrong-name", 90.0), off)
    assert wrong_name == ["turn.tls-invalid"], "a clock has nothing to do with a name, and alone it is a warning"


# --- credentials ---


def test_a_clock_that_made_a_credential_too_early_is_not_a_wrong_secret() -> None:
    """Made here with an hour to live, by a clock that is two hours behind: 401, and the secret is right."""
    behind = f.clocks(site=2 * HOUR_S, stand_in=2 * HOUR_S)
    assert whose(f.refused(HOUR_S, "here"), behind) == (Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert one(f.refused(HOUR_S, "here"), behind).because == ["clocks.skew", "turn.allocate"]
    assert sorted(f.causes(f.refused(HOUR_S, "here"), f.clocks(site=60.0, stand_in=60.0))) == [
        "clock.skewed", "turn.secret-mismatch",
    ], "a minute does not explain an hour"  # fmt: skip
    assert f.causes(f.refused(HOUR_S, "here"), f.clocks(site=0.1)) == ["turn.secret-mismatch"]
    static = f.causes(f.refused(None, "given"), f.clocks(site=2 * HOUR_S))
    assert sorted(static) == ["clock.skewed", "turn.secret-mismatch"], "a user name without a time knows no clock"


def test_a_site_whose_clock_is_behind_gives_out_credentials_that_have_expired() -> None:
    late = [f.refused(-HOUR_S, "given"), f.clocks(site=-2 * HOUR_S, stand_in=0.1)]
    assert whose(*late) == (Party.MATTERMOST_HOST, Confidence.CERTAIN)


def test_one_that_is_only_old_is_expired_whatever_the_clocks() -> None:
    assert f.causes(f.refused(-HOUR_S, "given"), f.clocks(site=0.1)) == ["turn.credentials-expired"]
    own = [f.refused(HOUR_S, "given"), f.clocks(site=2 * HOUR_S, stand_in=2 * HOUR_S)]
    assert sorted(f.causes(*own)) == ["clock.skewed", "turn.credentials-expired"], "no clock of ours made it"
    by_one = {one.cause: one.confidence for one in f.diagnosed(f.refused(HOUR_S, "given"), f.clocks(site=2 * HOUR_S))}
    assert by_one == {"clock.skewed": Confidence.LIKELY, "turn.credentials-expired": Confidence.LIKELY}


def test_a_turn_server_whose_own_clock_is_ahead() -> None:
    """Only whoever has the secret can tell, by which credentials it takes."""
    ahead = f.clocks(site=0.1, turn=12 * HOUR_S)
    assert whose(f.refused(HOUR_S, "here"), ahead) == (Party.TURN_HOST, Confidence.CERTAIN)
    node = f.clocks(turn=12 * HOUR_S, stand_in=0.1)
    assert f.causes(f.refused(HOUR_S, "given"), node) == ["clock.skewed"], "no site is there whose clock made it"
    elsewhere = f.refused(HOUR_S, "here", uri="turn:other.example.com:3478?transport=udp")
    assert sorted(f.causes(elsewhere, ahead)) == ["clock.skewed", "turn.secret-mismatch"], "that is another server"


def test_a_user_name_that_has_expired_by_a_wrong_clock_alone() -> None:
    expiry = f.result("turn.expiry", Status.FAIL, f.TURN_UDP, expires_in_s=-HOUR_S, issued_by="given")
    off = f.clocks(site=-2 * HOUR_S, stand_in=-2 * HOUR_S)
    assert whose(expiry, off) == (Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert f.causes(expiry, f.clocks(site=0.1)) == ["turn.credentials-expired"]
    assert f.causes(expiry, f.refused(-HOUR_S), f.clocks(site=0.1)) == ["turn.credentials-expired"]


# --- the scale ---


def test_clocks_that_no_reading_links_stand_apart() -> None:
    found = scales(f.evidence([f.clocks(at="client", site=1.0), f.result("clocks.skew", Status.PASS, at="media")]))
    assert [set(one.offsets_s) for one in found] == [{Clock("own", "client"), Clock("site", f.SITE)}]
    assert others(f.evidence([]), "client") == ({}, None)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), st.floats(-1e6, 1e6))
def test_offsets_from_any_vantage_fit_together(site_s: list[float], ahead_s: float) -> None:
    """Vantages that read one clock: the difference of two is that of their readings."""
    results = [f.clocks(at=f"caller {n}", site=offset_s + ahead_s) for n, offset_s in enumerate(site_s)]
    (scale,) = scales(f.evidence(results))
    for n, offset_s in enumerate(site_s):
        own_s = scale.offsets_s[Clock("own", f"caller {n}")]
        assert scale.offsets_s[Clock("site", f.SITE)] - own_s == pytest.approx(offset_s + ahead_s, abs=1e-3)
    assert not set(scale.wrong) & scale.right
