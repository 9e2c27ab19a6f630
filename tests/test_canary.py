"""The canaries: every secret that a run is given, and every secret that it makes, stands in nothing that anybody can
see: no output in any format and at any verbosity, no file, no log, no exception, no process list.

Each run is a process of its own, watched from outside while it lives.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from calls_doctor import cli
from calls_doctor.model.site import Site
from calls_doctor.site.environment import SECRETS
from calls_doctor.standin.launch import Options, StandInProcess
from calls_doctor.standin.serving import Served, Serving
from calls_doctor.wire.direct import Keys, Link

CANARIES = {name: f"canary{number}-{name[-5:].lower()}-x7q" for number, name in enumerate(SECRETS)}
"""Variable -> its value."""
LINK = str(Link("127.0.0.1", 9, Keys(bytes(range(100, 116))), bytes(range(32))))
"""Of a stand-in that is not there."""
LINK_KEY, FINGERPRINT = LINK.partition("#")[2].split(".")
POLL_S = 0.005
MADE = 3
"""The descriptor by which a run that was tampered with tells what secrets it made."""


@dataclass
class Seen:
    """All that a run showed."""

    code: int
    texts: dict[str, str] = field(default_factory=dict)
    """Where -> what stood there."""
    processes: dict[int, str] = field(default_factory=dict)
    """The command line of each child, of the run too."""

    def holding(self, canary: str) -> list[str]:
        """Where it was seen."""
        return [where for where, text in self.texts.items() if canary in text]


def run(
    *arguments: str, more: Mapping[str, str], before: str = "", stdin: str = "", folder: Path | None = None
) -> Seen:
    """Runs calls-doctor and watches it. `before` is Python that its process runs first; what it writes to MADE stands
    in the result's texts as "made". What the run left in `folder` is read too."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CALLS_DOCTOR_")}
    reader, writer = os.pipe()
    program = f"{before}\nfrom calls_doctor.cli import main\nmain()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments] if before else [sys.executable, "-m", "calls_doctor", *arguments],
        env=clean | dict(more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.dup2(writer, MADE), pass_fds=(writer, MADE), cwd=folder,  # noqa: PLW1509 - no threads yet
    )  # fmt: skip
    os.close(writer)
    seen, ended = Seen(0), threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, seen, ended))
    watcher.start()
    try:
        seen.texts["stdout"], seen.texts["stderr"] = process.communicate(stdin, timeout=25)
    finally:
        process.kill()
        ended.set()
        watcher.join()
    seen.code = process.returncode
    with os.fdopen(reader, encoding="utf-8") as made:
        seen.texts["made"] = made.read()
    for path in folder.iterdir() if folder else ():
        seen.texts[path.name] = path.read_text(encoding="utf-8")
    return seen


def _watch(first: int, seen: Seen, ended: threading.Event) -> None:
    """Notes command lines of the process and its children, and the environments of its children, until it has ended."""
    while not ended.wait(POLL_S):
        for pid in _family(first):
            for kind in ("cmdline", "environ"):
                if kind == "environ" and pid == first:
                    continue  # that is where the test put them
                try:
                    text = Path(f"/proc/{pid}/{kind}").read_bytes().decode(errors="replace")
                except OSError:  # it has ended in the meantime
                    continue
                seen.texts[f"{kind} of {'the run' if pid == first else 'a child'} ({pid})"] = text
                if kind == "cmdline":
                    seen.processes[pid] = text


def _family(first: int) -> list[int]:
    """The process and all that came of it, by the parents that the kernel names."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended in the meantime
            continue
        parents[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
    family = [first]
    for one in family:
        family += [pid for pid, parent in parents.items() if parent == one]
    return family


def assert_nothing_seen(seen: Seen, *canaries: str) -> None:
    assert seen.texts["stdout"] or seen.texts["stderr"], "a run that says nothing shows nothing"
    for canary in (*CANARIES.values(), *canaries):
        assert seen.holding(canary) == [], canary


@pytest.fixture
def by_file(tmp_path: Path) -> dict[str, str]:
    """Every secret in a file of its own, as the environment names it."""
    home = tmp_path / "secrets"
    home.mkdir()
    for name, value in CANARIES.items():
        (home / name.lower()).write_text(value + "\n", encoding="utf-8")
    return {name + "_FILE": str(home / name.lower()) for name in CANARIES}


RUNS = {
    "self-test": ("check", "--only", "turn.allocate"),
    "servers that are not there": (
        "check", "--stun", "stun:127.0.0.1:9", "--turn", "turn:127.0.0.1:9?transport=tcp", "--turn",
        "turns:127.0.0.1:9", "--rtcd-url", "http://127.0.0.1:9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("arguments", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(
    "manner", [("-v",), ("-vv", "--format", "json", "-o", "r.txt", "-o", "r.json")], ids=["text", "json"]
)
def test_secrets_of_the_environment(arguments: tuple[str, ...], manner: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "cwd"
    folder.mkdir()
    seen = run(*arguments, *manner, more=CANARIES | {"PYTHONDEVMODE": "1"}, folder=folder)
    assert seen.code in (0, 1)
    assert_nothing_seen(seen)
    assert len(list(folder.iterdir())) == manner.count("-o")


def test_secrets_in_files(by_file: dict[str, str]) -> None:
    seen = run(*RUNS["self-test"], "-v", more=by_file)
    assert seen.code == 0
    assert_nothing_seen(seen)


def test_the_self_test_was_watched_with_its_child() -> None:
    """Otherwise nothing was proven of process lists."""
    seen = run("check", "--only", "stun", more=CANARIES)
    assert len(seen.processes) >= 2
    environments = [text for where, text in seen.texts.items() if where.startswith("environ of a child")]
    assert any("PATH=" in text for text in environments)


@pytest.mark.parametrize("given", ["--peer", "environment", "standard input", "file"])
def test_a_pairing_links_key(given: str, tmp_path: Path) -> None:
    """Where the stand-in is silent. (Given by --peer, the person put it into the process list.)"""
    (tmp_path / "link").write_text(LINK, encoding="utf-8")
    arguments = {"--peer": ("--peer", LINK), "standard input": ("--peer", "-"), "file": ("--peer", "@link")}.get(
        given, ()
    )
    more = CANARIES | ({"CALLS_DOCTOR_PEER": LINK} if given == "environment" else {})
    output = tmp_path / "output"
    output.mkdir()
    seen = run(
        "check", *(word.replace("@link", f"@{tmp_path / 'link'}") for word in arguments), "-v", "--format", "json",
        "-o", "report.txt", "--timeout", "4s", more=more, stdin=LINK, folder=output,
    )  # fmt: skip
    assert seen.code in (1, 4)
    assert "127.0.0.1:9" in seen.texts["stdout"]
    if given == "--peer":
        seen.texts = {where: text for where, text in seen.texts.items() if not where.startswith("cmdline")}
    assert_nothing_seen(seen, LINK_KEY, FINGERPRINT)


async def test_a_stand_in_that_answers_gives_nothing_away_either() -> None:
    async with StandInProcess(Options()) as ready:
        turn = f"turn:127.0.0.1:{ready.turn_port}?transport=udp"
        more = CANARIES | {"CALLS_DOCTOR_TURN_USERNAME": ready.turn_username} | {"CALLS_DOCTOR_PEER": ready.link}
        more["CALLS_DOCTOR_TURN_CREDENTIAL"] = ready.turn_password
        seen = await asyncio.to_thread(
            lambda: run(
                "check", "--turn", turn, "--rtcd-url", f"http://127.0.0.1:{ready.api_port}", "-v",
                "--media-time", "0.1s", "--skip", "quality", more=more,
            )
        )  # fmt: skip
        key, fingerprint = ready.link.partition("#")[2].split(".")
        assert "turn.allocate" in seen.texts["stdout"]
        assert_nothing_seen(seen, key, fingerprint, ready.turn_password)


SPY = f"""
import os
from calls_doctor.standin.launch import StandInProcess
ready = StandInProcess._ready
async def spy(self, process):
    made = await ready(self, process)
    os.write({MADE}, "\\n".join([made.turn_password, *made.link.partition("#")[2].split(".")]).encode())
    return made
StandInProcess._ready = spy
"""


def test_what_the_self_test_makes_for_itself() -> None:
    seen = run("check", "-v", more=CANARIES, before=SPY)
    made = seen.texts.pop("made").split("\n")
    assert len(made) == 3
    assert all(len(secret) >= 20 for secret in made)
    assert_nothing_seen(seen, *made)


TOLD_SPY = f"""
import os
from calls_doctor.net.paired import PairedHost
facts = PairedHost.facts
async def spy(self):
    told = await facts(self)
    os.write({MADE}, (told.turn_credential + "\\n" + told.turn_username).encode())
    return told
PairedHost.facts = spy
"""
CRASH_WITH_WHAT_WAS_TOLD = """
import dataclasses
from calls_doctor import run
async def broken(context):
    told = await context.told()
    raise ValueError(told.turn_credential + " " + told.turn_username)
run.CHECKS = tuple(dataclasses.replace(one, probe=broken) if one.id == "env.control" else one for one in run.CHECKS)
"""


@pytest.mark.parametrize(
    "before", [TOLD_SPY, TOLD_SPY + CRASH_WITH_WHAT_WAS_TOLD], ids=["a run", "a crash that quotes it"]
)
async def test_the_turn_credential_that_a_stand_in_tells(before: str) -> None:
    parts = frozenset({"media", "turn"})
    served = Served(site=Site(), local=("127.0.0.1",), parts=parts, media_port=0, api_port=0, turn_port=0)
    async with Serving(served, lambda _report: None) as serving:
        words = ("check", "-v", "--media-time", "0.1s", "--skip", "quality")
        more = CANARIES | {"CALLS_DOCTOR_PEER": str(serving.links()[0])}
        seen = await asyncio.to_thread(lambda: run(*words, more=more, before=before))
        handed_in = msgspec.json.encode(serving.reports).decode()
    credential, username = seen.texts.pop("made").split("\n")
    assert len(credential) >= 20 and len(username) >= 20
    assert "turn.allocate" in seen.texts["stdout"] and "allocates a relay" in seen.texts["stdout"]
    assert handed_in != "[]" and credential not in handed_in
    assert_nothing_seen(seen, credential, username)


MISUSES: list[tuple[str, ...]] = [
    ("{}",),
    ("--{}",),
    ("check", "{}"),
    ("check", "--{}"),
    ("check", "--mode", "{}"),
    ("check", "--from", "{}"),
    ("check", "--phase", "{}"),
    ("check", "--only", "{}"),
    ("check", "--skip", "{}"),
    ("check", "--stun", "{}"),
    ("check", "--stun", "stun:a:{}"),
    ("check", "--turn", "turn:user:{}@host"),
    ("check", "--rtcd-url", "http://id:{}@host"),
    ("check", "--rtcd-url", "{}"),
    ("check", "--timeout", "{}"),
    ("check", "--format", "{}"),
    ("check", "--fail-on", "{}"),
    ("check", "-o", "{}"),
    ("check", "-o", "{}.jsn"),
    ("check", "--metadata", "{}"),
    ("check", "--peer", "{}"),
    ("check", "--peer", "@{}"),
    ("explain", "{}"),
    ("turn-credential", "--valid-for", "{}"),
    ("turn-credential", "--{}"),
]


@pytest.mark.parametrize("words", MISUSES, ids=" ".join)
def test_a_secret_that_was_typed_where_it_does_not_belong(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    for canary in CANARIES.values():
        assert cli._run(tuple(word.format(canary) for word in words)) == 2
        told = capsys.readouterr()
        assert told.err.startswith("calls-doctor: ")
        assert canary not in told.out + told.err


@pytest.mark.parametrize(
    "words",
    [("{}",), ("check", "{}"), ("check", "--only", "{}"), ("check", "--stun", "{}"), ("check", "--turn", "{}"),
     ("check", "--rtcd-url", "{}"), ("check", "-o", "{}"), ("check", "--peer", "{}x"), ("explain", "{}"),
     ("check", "--mode={}"), ("check", "--bogus={}")],
    ids=" ".join,
)  # fmt: skip
def test_a_link_that_was_given_where_it_does_not_belong(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for damaged in (LINK, LINK.upper()[:12] + LINK[12:], LINK[1:], LINK.removeprefix("calls-doctor://")):
        assert cli._run(tuple(word.format(damaged) for word in words)) == 2
        told = capsys.readouterr()
        assert LINK_KEY not in told.out + told.err
        assert FINGERPRINT not in told.out + told.err


def _all_canaries() -> str:
    return "' '.join(v for n, v in __import__('os').environ.items() if n.startswith('CALLS_DOCTOR_'))"


CRASH_IN_A_CHECK = f"""
import dataclasses
from calls_doctor import run
async def broken(context):
    local = {_all_canaries()}
    raise ValueError(local + repr(context.credentials))
run.CHECKS = tuple(dataclasses.replace(one, probe=broken) if one.id == "stun.reach" else one for one in run.CHECKS)
"""
CRASH_OUTSIDE = f"""
from calls_doctor import run
def broken(*arguments):
    raise ValueError({_all_canaries()})
run.exit_code = broken
run.conclusion.diagnosis = broken
"""


@pytest.mark.parametrize("manner", [("-v",), ("--format", "json")], ids=["text", "json"])
def test_an_exception_in_a_check_that_quotes_them_all(manner: tuple[str, ...]) -> None:
    seen = run(
        "check",
        "--self-test",
        "--only",
        "stun",
        *manner,
        more=CANARIES | {"CALLS_DOCTOR_PEER": LINK},
        before=CRASH_IN_A_CHECK,
    )
    assert seen.code == 5
    assert "ValueError" in seen.texts["stdout"], "the trace is there, without them"
    assert_nothing_seen(seen, LINK_KEY, FINGERPRINT)


def test_a_crash_outside_the_checks() -> None:
    seen = run("check", "--stun", "stun:127.0.0.1:9", more=CANARIES, before=CRASH_OUTSIDE)
    assert seen.code == 5
    assert seen.texts["stdout"] == ""
    assert len(seen.texts["stderr"].splitlines()) == 1
    assert re.search(r"own fault .* ValueError", seen.texts["stderr"])
    assert_nothing_seen(seen)
