"""`explain`: everything that a report can name has a page, and a word that is none is told the nearest."""

from __future__ import annotations

import pytest

from calls_doctor.diagnosis.cause import Cause
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.guide import STEPS
from calls_doctor.modes import FIREWALL_ROWS
from checks import CHECKS
from tests.cli.command_line import here

IDS = [spec.id for spec in CHECKS] + [cause.id for cause in CAUSES] + [step.number for step in STEPS] + [*FIREWALL_ROWS]


@pytest.mark.parametrize("identifier", IDS)
@pytest.mark.parametrize("columns", ["40", "80"])
def test_every_id_has_a_page_that_keeps_to_the_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, identifier: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    told = here(capsys, "explain", identifier)
    assert told.code == 0
    assert told.stdout.startswith(f"{identifier}, a")
    assert len(told.lines) > 1
    assert [line for line in told.lines if len(line) > int(columns) and " " in line.strip()] == []


def test_a_check_tells_what_its_failure_means(capsys: pytest.CaptureFixture[str]) -> None:
    flat = " ".join(here(capsys, "explain", "port.rtc-udp-echo").stdout.split())
    assert "It passes when this is true: UDP datagrams reach the media port and answers come back." in flat
    assert "When it does not pass:" in flat
    assert "needs env.platform" in flat
    assert "proves steps 1.6.1, 1.6.3" in flat


def test_a_check_that_takes_longer_says_how_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert "calls-doctor check --only nat.idle --thorough" in here(capsys, "explain", "nat.idle").stdout


def test_a_cause_tells_whose_it_is_and_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    flat = " ".join(here(capsys, "explain", "media.udp-blocked-inbound").stdout.split())
    assert "whose it is server-network" in flat
    assert "to mend it Let UDP 8443 through" in flat
    assert "1. " in flat
    assert f"FW-11 {FIREWALL_ROWS['FW-11']}" in flat


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_a_causes_page_has_what_decides_first_then_every_step_row_and_step_of_the_guide(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cause: Cause
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = here(capsys, "explain", cause.id, "--no-color").stdout
    flat = " ".join(told.split())
    deciding = [f"in doubt {cause.deciding_test}"] if cause.deciding_test else []
    steps = [f"{number}. {step}" for number, step in enumerate(cause.remedy.steps, 1)]
    rows = [f"{row} {FIREWALL_ROWS[row]}" for row in cause.remedy.firewall_rows]
    guide = [f"guide steps {', '.join(cause.remedy.guide_steps)}"] if cause.remedy.guide_steps else []
    at = [flat.find(" ".join(one.split())) for one in (*deciding, cause.remedy.summary, *steps, *rows, *guide)]
    assert -1 not in at
    assert at == sorted(at)
    assert "\x1b" not in told


def test_a_step_and_a_row_tell_what_proves_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Proven by port.rtc-udp-echo" in here(capsys, "explain", "1.6.3").stdout
    assert "proven by    port.rtc-udp-echo" in here(capsys, "explain", "fw-12").stdout
    assert "only a person can tick" in here(capsys, "explain", "1.3.1").stdout


@pytest.mark.parametrize(
    ("category", "held", "not_held"),
    [
        ("turn", ["turn.allocate", "turn.quota"], "stun.reach"),
        ("FW", ["FW-01", "FW-50"], "1.6.1"),
        ("1.6", ["1.6.12"], "2A.3.1"),
        ("media.udp-blocked", ["media.udp-blocked-inbound"], "media.udp-rejected"),
    ],
)
def test_a_category_names_what_it_holds(
    capsys: pytest.CaptureFixture[str], category: str, held: list[str], not_held: str
) -> None:
    told = here(capsys, "explain", category)
    assert told.code == 0
    assert all(f"  {one}  " in told.stdout for one in held)
    assert f"  {not_held}  " not in told.stdout


def test_no_id_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    told = here(capsys, "explain")
    assert told.code == 0
    assert all(f"  {one}  " in told.stdout for one in IDS)


@pytest.mark.parametrize(
    ("identifier", "hint"),
    [
        ("turn.alocate", 'did you mean "turn.allocate"?'),
        ("media.udp-blocked-outbound", 'did you mean "media.udp-blocked-inbound"?'),
        ("FW-99", 'did you mean "FW-'),
        ("banana", "`calls-doctor explain` names them all"),
        (".", "`calls-doctor explain` names them all"),
        ("\x1b[31m", "names them all"),
    ],
)
def test_an_unknown_id_is_told_the_nearest(capsys: pytest.CaptureFixture[str], identifier: str, hint: str) -> None:
    told = here(capsys, "explain", identifier)
    assert told.code == 2
    assert told.stdout == ""
    assert hint in told.stderr
    assert "\x1b" not in told.stderr
