"""Merging: every vantage once, books beside what the other end saw, and no trace of the order the files came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any  # rows of books are JSON

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from calls_doctor.errors import UsageError
from calls_doctor.merging import merged
from calls_doctor.model.books import PathBooks, ProbeSeen, RunBooks, SessionBooks
from calls_doctor.model.check import CheckResult
from calls_doctor.model.flow import Lost, Party
from calls_doctor.model.report import Report, Tool, Vantage, Verdict
from calls_doctor.model.site import Mode, Phase
from calls_doctor.saved.merge import merge
from tests.diagnosis import findings as f

RUN, OTHER_RUN = "Abcd1234", "Zyxw9876"
BERLIN_UDP, LONDON_UDP = f"{RUN}uBerlin01", f"{RUN}uLondon01"
STARTED = "2026-03-01T12:00:00Z"


def report(
    label: str, results: Sequence[CheckResult], *, books: Sequence[dict[str, Any]] = (), address: str = "",
    role: str = "client", started: str = STARTED, phase: Phase = Phase.PRE, run_id: str = "",
) -> Report:  # fmt: skip
    """A report of one vantage; each check took a time of its own."""
    name = label or role
    checks = [
        structs.replace(one, vantage=name, duration_s=0.001 * (n + 1) + len(label) + len(run_id))
        for n, one in enumerate(results)
    ]
    vantage = Vantage(id=name, label=label, role=role, public_address=address, started=started)
    return Report(
        tool=Tool(version="1"), run_id=run_id or name, started=started, duration_s=1.0, complete=True, command="",
        phase=phase, mode=Mode.RTCD, vantages=[vantage], verdict=Verdict.OK, checks=checks, books=list(books),
    )  # fmt: skip


def silent(session: str) -> list[CheckResult]:
    """UDP that nobody answered, whose books could not be had; TCP is well."""
    udp = f.udp(trouble="silent", arrived=None)
    udp.evidence["session"] = session
    return [udp, f.tcp(24, arrived=24)]


def book(session: str, probes: int, run_id: str = "abc", packets: int = 0, remote: str = "192.0.2.7") -> dict[str, Any]:
    """A session as the far end counted it."""
    path = {"transport": "udp", "remote": [remote, 40000], "stun_in": packets}
    return {"run_id": run_id, "end": "far", "session": session, "flow": "", "probes": probes, "paths": [path]}


def run_books(*sessions: tuple[str, int]) -> RunBooks:
    """What a stand-in kept of its whole run."""
    rows = [
        SessionBooks(
            session=session,
            probes=[ProbeSeen(number, 200, 0.0) for number in range(probes)],
            paths=[PathBooks(transport="udp", local=("10.0.1.20", 8443), remote=("192.0.2.7", 40000))],
        )
        for session, probes in sessions
    ]
    return RunBooks(run=RUN, sessions=rows, foreign_runs=2)


def echo_of(found: Sequence[CheckResult], at: str) -> CheckResult:
    return next(one for one in found if one.id == "port.rtc-udp-echo" and one.vantage == at)


def test_books_of_one_vantage_answer_what_another_could_not_ask() -> None:
    found = merge([report("Berlin", silent(BERLIN_UDP)), report("London", [], books=[book(BERLIN_UDP, 6)])])
    evidence = echo_of(found.checks, "Berlin").evidence
    assert (evidence["arrived"], evidence["arrived_by"]) == (6, "merged books")


def test_only_a_stand_ins_own_books_tell_that_nothing_arrived() -> None:
    """Another caller's books were had before these probes were sent."""
    alone = report("Berlin", silent(BERLIN_UDP))
    early = merge([alone, report("London", [], books=[book(LONDON_UDP, 6)])])
    assert echo_of(early.checks, "Berlin").evidence["arrived"] is None
    whole = merge([alone, merged([], run_books((LONDON_UDP, 6)))])
    assert echo_of(whole.checks, "Berlin").evidence["arrived"] == 0
    another = merge([report("Berlin", silent(f"{OTHER_RUN}uBerlin01")), merged([], run_books())])
    assert echo_of(another.checks, "Berlin").evidence["arrived"] is None, "another run's stand-in"


def test_what_the_near_end_counted_tells_nothing_of_what_arrived() -> None:
    near = book(BERLIN_UDP, 6) | {"end": "near"}
    whole = {"run_id": RUN, "end": "near", "session": "", "flow": ""}
    for books in ([near], [whole]):
        found = merge([report("Berlin", silent(BERLIN_UDP)), report("London", [], books=books)])
        assert echo_of(found.checks, "Berlin").evidence["arrived"] is None


def test_what_each_vantage_found_stays_its_own() -> None:
    both = merged([report("Berlin", silent(BERLIN_UDP)), report("London", f.good_echoes())])
    found = merge([both])
    assert [(one.id, one.vantage) for one in found.checks] == [(one.id, one.vantage) for one in both.checks]
    assert len(found.checks) == 4


def test_of_two_copies_of_a_sessions_books_the_one_that_counted_more_packets_stands() -> None:
    reports = [report(f"caller {n}", [], books=[book(BERLIN_UDP, 3, packets=n)]) for n in (2, 9, 4)]
    (only,) = merge(reports).books
    assert only["paths"][0]["stun_in"] == 9


def test_what_a_check_found_itself_is_not_overwritten() -> None:
    known = silent(BERLIN_UDP)
    known[0].evidence["arrived"] = 3
    found = merge([report("Berlin", known), merged([], run_books())])
    assert echo_of(found.checks, "Berlin").evidence["arrived"] == 3


def test_a_check_with_several_sessions_counts_them_all_or_none() -> None:
    relay = f.relay_range(arrived=None)
    for n, row in enumerate(relay.evidence["ports"]):
        row["session"] = f"{RUN}r{n:08}"
    half = [book(f"{RUN}r{n:08}", 1) for n in range(4)]
    (one,) = merge([report("Berlin", [relay]), report("London", [], books=half)]).checks
    assert one.evidence["arrived"] is None
    (one,) = merge([report("Berlin", [relay]), merged([], run_books(*((f"{RUN}r{n:08}", 1) for n in range(4))))]).checks
    assert one.evidence["arrived"] == 4


@given(st.permutations([1, 5, 3]))
def test_books_count_as_they_stood_last(packets: list[int]) -> None:
    reports = [report(f"caller {n}", [], books=[book(BERLIN_UDP, n, packets=n)]) for n in packets]
    (only,) = merge(reports).books
    assert only["probes"] == 5


def test_a_run_that_comes_twice_counts_once_and_its_more_informed_copy_wins() -> None:
    own = report("Berlin", silent(BERLIN_UDP))
    through_the_stand_in = merged([own], run_books((BERLIN_UDP, 6)))
    for reports in ([own, through_the_stand_in], [through_the_stand_in, own], [own, own]):
        found = merge(reports)
        assert [one.id for one in found.vantages] == ["Berlin"]
        assert len(found.checks) == 2
    assert echo_of(merge([own, through_the_stand_in]).checks, "Berlin").evidence["arrived"] == 6


def test_two_callers_without_a_label_are_two_even_in_one_second() -> None:
    one, other = report("", silent(BERLIN_UDP), run_id="1"), report("", silent(LONDON_UDP), run_id="22")
    found = merge([one, other])
    assert [vantage.id for vantage in found.vantages] == ["client", "client 2"]
    assert {check.vantage for check in found.checks} == {"client", "client 2"}
    assert len(found.checks) == 4


def test_where_no_stun_server_told_a_callers_address_the_far_end_does() -> None:
    found = merge([report("Berlin", silent(BERLIN_UDP)), merged([], run_books((BERLIN_UDP, 6)))])
    assert found.vantages[0].public_address == "192.0.2.7"
    private = merge([report("Berlin", silent(BERLIN_UDP), books=[book(BERLIN_UDP, 6, remote="10.0.0.9")])])
    assert private.vantages[0].public_address == "", "by that nobody else knows it"


def test_a_self_test_is_left_out() -> None:
    found = merge([report("Berlin", silent(BERLIN_UDP)), report("here", f.good_echoes(), phase=Phase.SELF_TEST)])
    assert [vantage.id for vantage in found.vantages] == ["Berlin"]


@pytest.mark.parametrize("words", [("ip",), ("none", "ip")])
def test_what_was_redacted_apart_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="redacted"):
        merge([structs.replace(report("Berlin", []), redacted=word) for word in words])


# --- with the diagnosis ---


def test_two_callers_whose_books_only_the_stand_in_has_decide_the_way_and_whose_it_is() -> None:
    callers = [
        report("Berlin", silent(BERLIN_UDP), address="192.0.2.7"),
        report("London", silent(LONDON_UDP), address="198.51.100.9"),
    ]
    (inbound,) = merged(callers, run_books()).diagnosis
    assert (inbound.cause, inbound.party) == ("media.udp-blocked-inbound", Party.SERVER_NETWORK)
    (back,) = merged(callers, run_books((BERLIN_UDP, 6), (LONDON_UDP, 6))).diagnosis
    assert (back.cause, back.party, back.flow.lost) == ("media.udp-blocked-return", Party.SERVER_NETWORK, Lost.REPLY)
    assert len(merged(callers).diagnosis) == 2, "without the stand-in's report either way may be shut"


def test_the_books_of_a_run_have_one_row_for_all_of_it() -> None:
    rows = merged([], run_books((BERLIN_UDP, 6))).books
    (whole,) = [row for row in rows if row["session"] == ""]
    assert (whole["run_id"], whole["foreign_runs"]) == (RUN, 2)
    assert [row["session"] for row in merged([merged([], run_books((BERLIN_UDP, 6)))]).books] == [
        row["session"] for row in rows
    ]


REPORTS = [
    report("Berlin", silent(BERLIN_UDP), address="192.0.2.7", books=[book(BERLIN_UDP, 2, packets=2)]),
    report("London", silent(LONDON_UDP), address="198.51.100.9", started="2026-03-01T12:00:05Z"),
    report("", f.good_echoes(), run_id="1"),
    report("", f.good_echoes(), run_id="22"),
    report("", [f.api("connect", "silent")], role="mattermost", phase=Phase.UNDETERMINED),
    merged([report("Berlin", silent(BERLIN_UDP), address="192.0.2.7")], run_books((BERLIN_UDP, 6), (LONDON_UDP, 6))),
]


@given(st.permutations(REPORTS), st.lists(st.sampled_from(REPORTS), max_size=2))
def test_neither_the_order_of_reports_nor_a_copy_of_one_makes_a_difference(
    reports: list[Report], again: list[Report]
) -> None:
    plain, other = merged(REPORTS), merged([*reports, *again])
    assert (other.vantages, other.checks, other.books) == (plain.vantages, plain.checks, plain.books)
    assert (other.diagnosis, other.verdict, other.phase) == (plain.diagnosis, plain.verdict, plain.phase)


@given(st.sampled_from(["env.platform", "dns.site", "signal.websocket"]), st.sampled_from(["Tokyo", "Oslo"]))
def test_a_vantage_that_found_nothing_of_it_changes_no_answer(check: str, label: str) -> None:
    more = report(label, f.passed(check), address="192.0.2.99", started="2026-03-01T11:00:00Z")
    assert merged([*REPORTS, more]).diagnosis == merged(REPORTS).diagnosis
