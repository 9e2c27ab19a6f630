"""The last look at what is written: nothing of the environment's secrets, and no key of a pairing link."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.check import Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.report import NotTested, Report
from calls_doctor.model.site import Setting
from calls_doctor.site import secrecy
from calls_doctor.wire.direct import Keys, Link
from tests.reports.samples import failing_report, result

SECRETS = {
    "auth": "canary-auth-key",
    "turn": "canary-turn-secret",
    "password": "canary-password",
    "token": "canary-token-1",
}
NAMES = {"client": "canary-client-id", "user": "canary-user-name"}
GIVEN = Credentials(
    rtcd_client_id=NAMES["client"],
    rtcd_auth_key=Secret(SECRETS["auth"]),
    turn_secret=Secret(SECRETS["turn"]),
    turn=TurnCredentials(NAMES["user"], Secret(SECRETS["password"])),
    mattermost_tokens=(Secret(SECRETS["token"]),),
)
ADDRESSES = ["192.0.2.7", "2001:db8::7", "calls.example.com"]


def link(address: str, name: str = "") -> str:
    return str(Link(address, 8443, Keys(bytes(range(16))), bytes(32), name))


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (link("192.0.2.7"), "192.0.2.7:8443"),
        (link("2001:db8::7"), "[2001:db8::7]:8443"),
        (f"--peer {link('192.0.2.7', 'calls.example.com')} -v", "--peer 192.0.2.7:8443 -v"),
        (f"'{link('192.0.2.7')}' '{link('192.0.2.8')}'", "'192.0.2.7:8443' '192.0.2.8:8443'"),
        (f"--peer={link('192.0.2.7')}", "--peer=192.0.2.7:8443"),
        ("calls-doctor check", "calls-doctor check"),
        ("a link begins with calls-doctor://, as", "a link begins with calls-doctor://, as"),
        ("no address after calls-doctor://", "no address after calls-doctor://"),
        (link("192.0.2.7").upper().partition("#")[0], "CALLS-DOCTOR://192.0.2.7:8443/"),
        (link("192.0.2.7").removeprefix("calls-doctor://"), "192.0.2.7:8443/"),
        (link("192.0.2.7").replace("#", " #"), "192.0.2.7:8443 "),
        (link("192.0.2.7").replace("calls-doctor", "cals-doctor"), "cals-doctor://192.0.2.7:8443/"),
        ("", ""),
    ],
)
def test_links_are_cut_to_host_and_port(text: str, cut: str) -> None:
    assert secrecy.cut_links(text) == cut


def test_a_command_that_is_typed_again_names_the_link_and_holds_none() -> None:
    link = "calls-doctor://[::1]:8443/?name=a#y6jQ9HnbbETeTBTYaaoLOg.7VJ13ucqfVo4ZgPpo47jXMRRMsFQRRwBQjoeX97a2pY"
    words = ["--peer", link, f"--peer={link}", "--label", "[::1]:8443"]
    named = [secrecy.link_named(word) for word in words]
    assert named == ["--peer", "LINK", "--peer=LINK", "--label", "[::1]:8443"]


def everywhere(canary: str) -> Report:
    """A report in which every free text holds the canary."""
    made = failing_report()
    return msgspec.structs.replace(
        made,
        command=f"calls-doctor check --label {canary}",
        metadata={"note": canary},
        site={"rtcd.url": Setting(value=[canary], origin="--rtcd-url")},
        vantages=[msgspec.structs.replace(made.vantages[0], id=canary, label=canary)],
        not_tested=[NotTested(what="a.b", why=canary)],
        checks=[
            result(
                "turn.allocate",
                Status.FAIL,
                f"the server said {canary}",
                target=f"turn:h?{canary}",
                evidence={"reason": canary, "deep": [{"er": f"a{canary}b"}, 3, None, True], "traceback": canary},
            )
        ],
        diagnosis=[msgspec.structs.replace(made.diagnosis[0], subject=canary, summary=f"it said {canary}")],
        next=[msgspec.structs.replace(made.next[0], why=f"how to mend {canary}")],
    )


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_is_left_anywhere_in_a_report(kind: str) -> None:
    cut = msgspec.json.encode(secrecy.report(everywhere(SECRETS[kind]), GIVEN)).decode()
    assert SECRETS[kind] not in cut
    assert "the server said ***" in cut
    assert "a***b" in cut


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_cut_out_of_what_checks_found(kind: str) -> None:
    """A user name is no secret in the strict sense; nobody needs it in a report either."""
    cut = secrecy.report(everywhere(NAMES[kind]), GIVEN)
    assert NAMES[kind] not in msgspec.json.encode(cut.checks).decode()


def test_words_that_are_no_free_text_stay_whatever_the_secret_is() -> None:
    report = everywhere("it failed")
    given = Credentials(
        turn_secret=Secret("fail"), rtcd_client_id="calls-doctor", rtcd_auth_key=Secret("turn.allocate")
    )
    cut = secrecy.report(report, given)
    assert [(one.id, one.status) for one in cut.checks] == [("turn.allocate", Status.FAIL)]
    assert cut.checks[0].summary == "the server said it ***ed"
    assert cut.diagnosis[0].cause == report.diagnosis[0].cause
    assert cut.command == "calls-doctor check --label it ***ed"


def test_a_link_is_cut_in_a_report_too() -> None:
    cut = secrecy.report(everywhere(link("192.0.2.7")), Credentials())
    assert "#" not in msgspec.json.encode(cut).decode()
    assert cut.checks[0].summary == "the server said 192.0.2.7:8443"


def test_where_nothing_was_given_nothing_is_cut() -> None:
    report = everywhere("plain")
    assert secrecy.report(report, Credentials()) == report


def test_a_secret_that_is_too_short_to_protect_anything_leaves_the_words_whole() -> None:
    report = everywhere("a")
    assert secrecy.report(report, Credentials(turn_secret=Secret("a"))) == report


def test_a_secret_that_holds_another_goes_whole() -> None:
    given = Credentials(turn_secret=Secret("canary"), rtcd_auth_key=Secret("canary-and-more"), rtcd_client_id="x")
    cut = secrecy.report(everywhere("canary-and-more"), given)
    assert "and-more" not in msgspec.json.encode(cut).decode()


def test_a_sentence_for_the_terminal_is_cut_too() -> None:
    environment = {"CALLS_DOCTOR_TURN_SECRET": "hunter2!", "HOME": "/root"}
    said = secrecy.sentence(f"/root: hunter2! is no such option, nor {link('192.0.2.7')}", environment)
    assert said == "/root: *** is no such option, nor 192.0.2.7:8443"


def test_what_the_stand_in_told_goes_as_what_the_environment_gave() -> None:
    told = Credentials(turn=TurnCredentials("1700000000:somebody", Secret("told-by-the-stand-in")))
    cut = msgspec.json.encode(
        secrecy.report(everywhere("told-by-the-stand-in 1700000000:somebody"), GIVEN, told)
    ).decode()
    assert "told-by-the-stand-in" not in cut
