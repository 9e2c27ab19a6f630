"""Several reports concluded together: who is missing, what nobody tested, and sentences that know what was learnt."""

from __future__ import annotations

from msgspec import structs

from calls_doctor.merging import merged
from calls_doctor.model.report import NotTested
from calls_doctor.model.site import Setting
from tests.diagnosis import findings as f
from tests.saved.test_merge import BERLIN_UDP, RUN, report, run_books, silent

API, MEDIA = "port.api-tcp", "port.rtc-udp-echo"


def test_who_has_not_looked_yet_is_in_the_report() -> None:
    link = {"peers": Setting(value=["rtcd.example.com:8443"], origin="--peer")}
    caller = structs.replace(report("Berlin", f.good_echoes()), site=link)
    (gap,) = merged([caller]).missing
    (step,) = merged([caller]).next
    assert (step.command, step.on_host) == (gap["command"], "a Mattermost node")
    assert gap["vantage"] == "mattermost"
    assert "--peer rtcd.example.com:8443 " in gap["command"]
    assert merged([caller, report("", [], role="mattermost")]).missing == []
    assert [one["vantage"] for one in merged([], run_books(), peer="192.0.2.4:8443").missing] == ["client"]


def test_what_one_vantage_tested_is_not_what_nobody_tested() -> None:
    left = [NotTested(what=MEDIA, why="made from client"), NotTested(what="nat.type", why="no STUN server")]
    server = structs.replace(report("", [], role="mattermost"), not_tested=left)
    caller = structs.replace(report("Berlin", f.good_echoes()), not_tested=left[1:])
    assert merged([caller, server]).not_tested == left[1:]
    assert merged([server]).not_tested == left


def test_the_sentence_of_an_echo_says_what_merged_books_told() -> None:
    silence = silent(BERLIN_UDP)
    silence[0] = structs.replace(silence[0], summary="nothing came back, and no path brought the far end's books")
    for arrived, said in ((6, "the replies are lost"), (0, "the requests are lost")):
        found = merged([report("Berlin", silence)], run_books(*([(BERLIN_UDP, arrived)] if arrived else [])))
        (echo,) = (one for one in found.checks if one.id == MEDIA)
        assert said in echo.summary and f" {arrived} arrived" in echo.summary
        again = merged([found])
        assert [one.summary for one in again.checks] == [one.summary for one in found.checks]


def test_the_sentence_of_the_relay_ports_too() -> None:
    relay = f.relay_range(arrived=None)
    for n, row in enumerate(relay.evidence["ports"]):
        row["session"] = f"{RUN}r{n:08}"
    (one,) = merged([report("Berlin", [relay])], run_books()).checks
    assert one.summary == "data came back through 0 of 8 relay ports, none arrived at the media host"


def test_evidence_of_another_version_keeps_its_sentence() -> None:
    silence = silent(BERLIN_UDP)
    del silence[0].evidence["returned"]
    said = silence[0].summary
    found = merged([report("Berlin", silence)], run_books((BERLIN_UDP, 6)))
    assert next(one for one in found.checks if one.id == MEDIA).summary == said
