"""Commands in steps: between backticks, after the place where they are typed."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from calls_doctor.cli import COMMANDS, PROGRAM, Commands
from calls_doctor.diagnosis.cause import Cause
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.commands import Command, commands_of
from calls_doctor.diagnosis.cover import LOOK_HERE
from calls_doctor.diagnosis.media_evidence import SERVE_RUNS
from calls_doctor.guide import STEP_BY_NUMBER
from calls_doctor.model.flow import Party
from calls_doctor.modes import FIREWALL_ROWS

SHELL = re.compile(
    r"(?:calls-doctor (?:check|serve|report)|systemctl|journalctl|tcpdump|timedatectl|iptables|nft list|sysctl -|ss -|"
    r"curl|openssl s_client|dig )"
)
"""How commands begin that an administrator types: none stands in a sentence as if it were a word."""
WITHOUT_A_STEP = {
    "dns.ipv6-dead": "the guide's steps are about IPv4",
    "mattermost.unreachable": "the guide begins with a Mattermost that works",
    "mattermost.websocket-blocked": "the guide begins with a Mattermost that works",
    "nat.binding-short": "the guide's callers talk, and are not silent",
    "tls.expired": "the guide begins with a Mattermost that works",
}
"""Causes that no step of the guide is about, each with its reason."""


def steps_of(cause: Cause) -> list[str]:
    return [*([cause.deciding_test] if cause.deciding_test else []), *cause.remedy.steps]


EVERY_STEP = [
    *((f"{cause.id} {number}", step) for cause in CAUSES for number, step in enumerate(steps_of(cause), 1)),
    ("the self-test", LOOK_HERE),
    ("never recognised", SERVE_RUNS),
]


def parse(command: str) -> None:
    """As the command line would: raises click.UsageError."""
    program, name, *arguments = shlex.split(command)
    assert program == PROGRAM
    assert name in COMMANDS
    with click.Context(Commands(PROGRAM)) as context:
        found = Commands(PROGRAM).get_command(context, name)
        assert found is not None
        found.make_context(name, arguments, parent=context)


def test_a_command_is_what_stands_between_backticks_and_its_place_what_the_step_begins_with() -> None:
    assert commands_of("On the media host: `ss -lnu` shows it, `nft list ruleset` why") == [
        Command("ss -lnu", "the media host"),
        Command("nft list ruleset", "the media host"),
    ]
    assert commands_of("Restart it with `systemctl restart rtcd`") == [Command("systemctl restart rtcd", "")]
    assert commands_of("Open UDP 8443: every firewall") == []


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_a_remedy_says_whose_it_is_what_to_change_and_which_steps_of_the_guide_it_is_about(cause: Cause) -> None:
    assert cause.party in Party
    assert cause.remedy.summary
    assert cause.remedy.steps
    assert len(set(steps_of(cause))) == len(steps_of(cause))
    assert [step for step in cause.remedy.guide_steps if step not in STEP_BY_NUMBER] == []
    assert bool(cause.remedy.guide_steps) is not (cause.id in WITHOUT_A_STEP)
    assert [row for row in cause.remedy.firewall_rows if row not in FIREWALL_ROWS] == []


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_a_cause_that_may_be_nobodys_yet_says_what_to_type_to_decide(cause: Cause) -> None:
    assert cause.party is not Party.UNDECIDED or cause.deciding_test
    assert not cause.deciding_test or commands_of(cause.deciding_test)


@pytest.mark.parametrize(("where", "step"), EVERY_STEP, ids=[where for where, _ in EVERY_STEP])
def test_every_command_can_be_typed_and_says_where(where: str, step: str) -> None:
    for command in commands_of(step):
        assert command.on_host, f"{where}: {command.text}"
        assert shlex.split(command.text)
        if command.text.split()[0] == PROGRAM:
            parse(command.text)
    assert not SHELL.search(re.sub(r"`[^`]*`", "", step)), f"{where}: a command without backticks"
    assert step.count("`") % 2 == 0


def test_what_the_command_line_does_not_know_would_be_seen() -> None:
    for wrong in ("calls-doctor check --pear LINK", "calls-doctor serve now"):
        with pytest.raises(click.UsageError):
            parse(wrong)
