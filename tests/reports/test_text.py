"""The report as people read it: nothing is lost without colour and symbols, every failure stands at the end once more
with its cause, and the last line is the next command."""

from __future__ import annotations

import re

import msgspec
import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.report import NextStep, NotTested, Report, Verdict
from calls_doctor.model.site import Phase
from reports.style import Style
from reports.text import render
from tests.reports.samples import BERLIN, HERE, cause, failing_report, healthy_report, result

ESCAPE = re.compile(r"\x1b\[\d+m")
replace = msgspec.structs.replace


def flat(text: str) -> str:
    """The words, however the lines were broken."""
    return " ".join(text.split())


def test_the_self_tests_first_line_is_the_contracts_and_the_last_the_next_command() -> None:
    lines = render(healthy_report(), Style(width=40)).splitlines()
    assert lines[0] == "Self-test on 127.0.0.1: this program works here. Nothing of your network was tested."
    assert lines[-1] == "  calls-doctor check --mode rtcd --list"


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.BROKEN, Verdict.UNDECIDED])
def test_a_self_test_that_did_not_pass_does_not_say_that_the_program_works(verdict: Verdict) -> None:
    first = render(replace(healthy_report(), verdict=verdict), Style()).splitlines()[0]
    assert "works here" not in first
    assert first.endswith("Nothing of your network was tested.")


def test_a_self_test_that_was_cut_short_says_neither() -> None:
    text = render(replace(healthy_report(), complete=False, verdict=Verdict.UNDECIDED), Style())
    assert text.startswith("Self-test on 127.0.0.1: it was cut short.")
    assert "not everything was tested" in flat(text)


def test_the_first_line_names_vantage_label_mode_and_phase() -> None:
    first = render(failing_report(), Style()).splitlines()[0]
    assert first == 'Calls checked from client "Berlin office" (203.0.113.9), mode rtcd, phase pre.'


def test_every_check_stands_with_its_word_its_title_and_its_sentence() -> None:
    text = flat(render(failing_report(), Style(unicode=False)))
    for check in failing_report().checks:
        assert f"{check.status} {check.id} {check.title}" in text
        assert check.summary in text


def test_failures_are_repeated_under_the_cause_that_explains_them() -> None:
    text = render(failing_report(), Style())
    part = flat(text[text.index("what is wrong (1)") : text.index("not passed, and explained")])
    for words in (
        "media.udp-blocked-inbound", "how sure likely", "who is hit no calls", "whose server-network",
        "client 203.0.113.9 to media 198.51.100.20, UDP 8443; the request is lost",
        "fail port.rtc-udp-echo 198.51.100.20:8443/udp: 0 of 24 probes came back",
        "Open UDP 8443 to the media host", "1. Ask for the rule. 2. Run this check again.",
        "firewall rows FW-12; guide steps 1.6.3",
    ):  # fmt: skip
        assert words in part, words


def test_what_no_cause_explains_is_repeated_by_itself() -> None:
    text = render(failing_report(), Style())
    part = flat(text[text.index("not passed, and explained by no known cause") :])
    for word in ("warn env.port-free", "unknown stun.reach", "error quality.path"):
        assert word in part
    assert "skip media.call-udp" not in part
    assert "fail port.rtc-udp-echo" not in part


def test_the_verdict_counts_every_status() -> None:
    text = flat(render(failing_report(), Style()))
    assert (
        "Verdict failed: calls fail from here "
        "(1 failed, 1 could not be made, 1 undecided, 1 warned, 1 passed, 1 skipped; 4.5 s)." in text
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict.OK, "everything that was tested works"),
        (Verdict.WARNINGS, "mind the warnings"),
        (Verdict.UNDECIDED, "no all-clear"),
        (Verdict.BROKEN, "calls-doctor itself failed"),
    ],
)
def test_each_verdict_says_what_it_means(verdict: Verdict, words: str) -> None:
    assert words in flat(render(replace(healthy_report(), verdict=verdict), Style()))


def test_what_was_not_tested_stands_with_the_reason_once_for_all_that_share_it() -> None:
    left = [NotTested(what=one, why="no TURN server") for one in ("turn.challenge", "turn.allocate")]
    report = replace(healthy_report(), not_tested=left)
    text = render(report, Style())
    assert "turn.challenge, turn.allocate: no TURN server" in text


def test_the_self_test_misses_nothing_that_only_a_network_could_show() -> None:
    unfit = NotTested(what="nat.type", why="not part of phase self-test", unfit=True)
    cut = NotTested(what="turn.challenge", why="the run was interrupted")
    report = replace(healthy_report(), phase="self-test", not_tested=[unfit])
    assert "not tested" not in render(report, Style())
    text = render(replace(report, not_tested=[unfit, cut]), Style())
    assert "turn.challenge: the run was interrupted" in text and "nat.type" not in text
    assert "nat.type: not part of" in render(replace(report, phase="pre", not_tested=[unfit]), Style())


def test_without_anything_wrong_there_is_no_heading_for_it() -> None:
    text = render(healthy_report(), Style())
    assert "what is wrong" not in text
    assert "not passed" not in text


def test_quiet_leaves_first_line_what_is_wrong_verdict_and_next() -> None:
    text = render(failing_report(), Style(verbosity=-1))
    assert "The title of env.platform" not in text
    assert "not tested" not in text
    for words in ("Calls checked", "what is wrong (1)", "Verdict failed", "calls-doctor explain"):
        assert words in text


def test_verbose_shows_the_evidence_the_guide_the_site_and_says_no_secret() -> None:
    text = render(failing_report(), Style(verbosity=1))
    for words in ("sent: 24", "trouble:", "took: 0.250 s", "1.6.3    failed, from client to media",
                  "turn.secret = set   (CALLS_DOCTOR_TURN_SECRET)", "ticket = NET-1"):  # fmt: skip
        assert words in text, words
    assert "sent: 24" not in render(failing_report(), Style())


def test_a_check_that_ran_for_another_says_so() -> None:
    checks = [replace(one, for_others=True) for one in healthy_report().checks]
    assert "ran: for checks that --only names" in render(replace(healthy_report(), checks=checks), Style(verbosity=1))


@pytest.mark.parametrize("report", [healthy_report(), failing_report()], ids=["healthy", "failing"])
@pytest.mark.parametrize("verbosity", [-1, 0, 1])
def test_colour_adds_escapes_and_takes_no_word(report: Report, verbosity: int) -> None:
    plain = render(report, Style(verbosity=verbosity))
    coloured = render(report, Style(colour=True, verbosity=verbosity))
    assert "\x1b" not in plain
    assert coloured != plain
    assert ESCAPE.sub("", coloured) == plain


@pytest.mark.parametrize("report", [healthy_report(), failing_report()], ids=["healthy", "failing"])
def test_without_symbols_it_is_ascii(report: Report) -> None:
    assert render(report, Style(unicode=False, verbosity=1)).isascii()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal_but_the_first_and_commands(width: int) -> None:
    report = failing_report()
    lines = render(report, Style(width=width, verbosity=1)).splitlines()
    commands = {f"  {step.command}" for step in report.next}
    wide = [line for line in lines[1:] if len(line) > width and line not in commands]
    assert wide == []


def test_several_vantages_are_kept_apart() -> None:
    report = replace(
        failing_report(),
        vantages=[BERLIN, HERE],
        checks=[result("stun.reach", Status.PASS, "a"), result("stun.reach", Status.FAIL, "b", vantage=HERE.id)],
    )
    text = render(report, Style())
    assert 'stun, from client "Berlin office" (203.0.113.9)' in text
    assert "stun, from client\n" in text


def test_missing_vantages_come_with_the_command_to_run_there() -> None:
    report = replace(failing_report(), missing=[{"vantage": "media", "command": "calls-doctor check --from media"}])
    assert "nobody looked from media yet; run there:\n    calls-doctor check --from media\n" in render(report, Style())


HOSTILE = "\x1b]0;owned\x07\r\n\u202e"


def test_what_a_far_end_wrote_cannot_move_the_cursor() -> None:
    report = replace(
        failing_report(),
        checks=[
            result(f"a.{HOSTILE}", Status.FAIL, HOSTILE, title=HOSTILE, target=HOSTILE, evidence={HOSTILE: [HOSTILE]})
        ],
        diagnosis=[replace(cause(), summary=HOSTILE, subject=HOSTILE)],
        next=[NextStep(command=HOSTILE, on_host=HOSTILE, why=HOSTILE)],
        metadata={HOSTILE: HOSTILE},
        missing=[{"vantage": HOSTILE, "command": HOSTILE}],
        vantages=[replace(BERLIN, label=HOSTILE)],
        books=[{"run_id": "r", "end": "far", "flow": HOSTILE, "failure": HOSTILE}],
    )
    for verbosity in (-1, 0, 1):
        text = render(report, Style(verbosity=verbosity))
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)


def test_a_trace_keeps_its_lines() -> None:
    broken = result("a.b", Status.ERROR, "x", evidence={"traceback": "one\n  two\n"})
    text = render(replace(failing_report(), checks=[broken], phase=Phase.UNDETERMINED), Style(verbosity=1))
    assert re.search(r"traceback:\n +one\n +two\n", text)


def test_a_report_of_nothing_is_still_a_report() -> None:
    empty = replace(healthy_report(), checks=[], guide=[], next=[], site={}, vantages=[])
    assert "nothing was tested" in render(empty, Style(verbosity=1))
