"""From words to a Request: every option arrives, and a wrong value is one sentence before anything is probed."""

from __future__ import annotations

from typing import NoReturn

import pytest

from calls_doctor import run as runs
from tests.cli.command_line import here


class Seen(Exception):
    """Carries the Request out of the command."""

    def __init__(self, request: runs.Request) -> None:
        super().__init__()
        self.request = request


@pytest.fixture(autouse=True)
def _nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(request: runs.Request, *_: object) -> NoReturn:
        raise Seen(request)

    monkeypatch.setattr(runs, "check", check)


TYPED = (
    "calls-doctor check --mode rtcd --from mattermost --label 'node 1' --phase pre --rtcd-url http://r:8045 "
    "--stun stun:a --stun stun:b --turn turn:c --only port --skip 'turn=not ours' --skip stun.reach --wait 2m "
    "--timeout 90 --media-time 500ms --thorough --metadata ticket=MM-1 --peer"
)


def test_every_option_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--mode", "rtcd", "--from", "mattermost", "--label", "node 1", "--phase", "pre", "--rtcd-url", "http://r:8045",
        "--stun", "stun:a", "--stun", "stun:b", "--turn", "turn:c", "--only", "port", "--skip", "turn=not ours",
        "--skip", "stun.reach", "--wait", "2m", "--timeout", "90", "--media-time", "500ms", "--thorough",
        "--metadata", "ticket=MM-1", "--peer", "calls-doctor://192.0.2.1:8443/?name=x#key.print",
    ]  # fmt: skip
    with pytest.raises(Seen) as caught:
        here(capsys, "check", *words)
    assert caught.value.request == runs.Request(
        mode="rtcd",
        vantage="mattermost",
        label="node 1",
        phase="pre",
        rtcd_url="http://r:8045",
        stun=("stun:a", "stun:b"),
        turn=("turn:c",),
        only=("port",),
        skip={"turn": "not ours", "stun.reach": ""},
        wait_s=120.0,
        timeout_s=90.0,
        media_time_s=0.5,
        thorough=True,
        metadata={"ticket": "MM-1"},
        peers=("calls-doctor://192.0.2.1:8443/?name=x#key.print",),
        command=f"{TYPED} '192.0.2.1:8443'",
        again=f"{TYPED} LINK",
    )


def test_no_option_is_an_empty_request(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Seen) as caught:
        here(capsys, "check")
    assert caught.value.request == runs.Request(command="calls-doctor check", again="calls-doctor check")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--media-time", "3 hours"), '--media-time: "3 hours" is not a duration; write 500ms, 3s, 2m'),
        (("--media-time", "0"), "--media-time: "),
        (("--timeout", "1ms"), "--timeout: "),
        (("--wait", "x"), "--wait: "),
        (("--fail-on", "wran"), '--fail-on: "wran" is not known; did you mean "warn"?'),
        (("--format", "markdwn"), "--format: "),
        (("--metadata", "novalue"), '--metadata: "novalue" is not KEY=VALUE'),
        (("--skip", "=why"), "--skip: "),
        (("-v", "-q"), "-v and -q contradict each other"),
    ],
)
def test_a_wrong_value_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    told = here(capsys, "check", *arguments)
    assert told.code == 2
    assert sentence in told.stderr
    assert told.stderr.count("\n") == 1
