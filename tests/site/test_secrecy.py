"""The last look: what nobody wrote on purpose leaves all the same in no output."""

from __future__ import annotations

import msgspec
import pytest

from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.flow import Endpoint, Flow, Party, Role
from calls_doctor.model.report import Confidence, Diagnosis, Impact, NextStep, Remedy, Report, Tool, Verdict
from calls_doctor.model.site import Phase
from calls_doctor.site import secrecy

KEYS = {
    "rtcd": "canary-rtcd-key",
    "secret": "canary-turn-secret",
    "password": "canary-password",
    "token": "canary-token",
}
NAMES = {"client": "canary-client", "user": "canary-user"}
GIVEN = Credentials(
    rtcd_client_id=NAMES["client"],
    rtcd_auth_key=Secret(KEYS["rtcd"]),
    turn_secret=Secret(KEYS["secret"]),
    turn=TurnCredentials(NAMES["user"], Secret(KEYS["password"])),
    mattermost_tokens=(Secret(KEYS["token"]),),
)


def _report(said: str) -> Report:
    """A report in which everything that is free text says the same."""
    evidence = {"traceback": f"line 1\n{said}", "rows": [{"detail": said, "n": 1, "ok": None}]}
    result = CheckResult(
        id="a.b", title="A", category="a", status=Status.ERROR, vantage="client", target=said, summary=said,
        evidence=evidence,
    )  # fmt: skip
    client = Endpoint(role=Role.CLIENT)
    cause = Diagnosis(
        cause="turn.quota", confidence=Confidence.LIKELY, party=Party.PATH, impact=Impact.DEGRADED, subject=said,
        summary=said, flow=Flow(from_=client, to=client, protocol="udp", port=1), remedy=Remedy(summary="mend"),
    )  # fmt: skip
    return Report(
        tool=Tool(version="1"), run_id="r", started="2026-01-01T00:00:00Z", duration_s=1.0, complete=True,
        command=f"calls-doctor check {said}", metadata={"k": said}, phase=Phase.POST, mode=None, vantages=[],
        verdict=Verdict.BROKEN, checks=[result], diagnosis=[cause],
        next=[NextStep(command="calls-doctor check", on_host="x", why=said)],
    )  # fmt: skip


@pytest.mark.parametrize("key", KEYS.values())
def test_a_key_is_cut_out_of_all_free_text(key: str) -> None:
    cleaned = secrecy.report(_report(f"before {key} after"), GIVEN)
    text = msgspec.json.encode(cleaned).decode()
    assert key not in text
    assert cleaned.checks[0].summary == f"before {secrecy.CUT} after"
    assert cleaned.checks[0].evidence["rows"] == [{"detail": f"before {secrecy.CUT} after", "n": 1, "ok": None}]
    assert cleaned.command == f"calls-doctor check before {secrecy.CUT} after"


@pytest.mark.parametrize("name", NAMES.values())
def test_a_name_is_cut_out_of_what_checks_found(name: str) -> None:
    cleaned = secrecy.report(_report(name), GIVEN)
    assert name not in msgspec.json.encode(cleaned.checks).decode()


def test_words_that_are_no_free_text_stay_whatever_the_secret_is() -> None:
    given = Credentials(turn_secret=Secret("error"), rtcd_client_id="calls", rtcd_auth_key=Secret("turn.quota"))
    cleaned = secrecy.report(_report("an error"), given)
    assert cleaned.checks[0].status is Status.ERROR
    assert cleaned.checks[0].summary == "an ***"
    assert cleaned.diagnosis[0].cause == "turn.quota"
    assert cleaned.command == "calls-doctor check an ***"


def test_without_secrets_nothing_changes() -> None:
    made = _report("text")
    assert secrecy.report(made, Credentials()) is made
    assert secrecy.report(made, GIVEN) == made
    assert secrecy.report(made, Credentials(turn_secret=Secret("tex"))) == made  # too short to be cut out of words


def test_the_longer_secret_goes_whole() -> None:
    given = Credentials(turn_secret=Secret("canary"), rtcd_client_id="x", rtcd_auth_key=Secret("canary-long"))
    assert secrecy.report(_report("a canary-long one"), given).checks[0].summary == "a *** one"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("calls-doctor://192.0.2.1:8443/?name=x#key.print", "192.0.2.1:8443"),
        ("--peer 'calls-doctor://[2001:db8::1]:8443/#key.print'", "--peer '[2001:db8::1]:8443'"),
        ("calls-doctor://a:1/#k calls-doctor://b:2#k", "a:1 b:2"),
        ("calls-doctor://#key", ""),
        ("calls-doctor check", "calls-doctor check"),
    ],
)
def test_links_are_cut_to_host_and_port(text: str, cut: str) -> None:
    assert secrecy.cut_links(text) == cut


def test_a_sentence_holds_neither_link_nor_what_the_environment_holds() -> None:
    said = secrecy.sentence(
        "no option canary-turn-secret, calls-doctor://a:1/#canary", {"CALLS_DOCTOR_TURN_SECRET": "canary-turn-secret"}
    )
    assert said == "no option ***, a:1"
