"""What becomes of a packet, where some rules may or may not apply."""

from __future__ import annotations

import pytest

from calls_doctor.wire.ruleset import Base, Rule, Ruleset, Ruling, Turn, Verdict, ruling

ACCEPT, DROP = Verdict.ACCEPTED, Verdict.DROPPED


def rule(does: Verdict | Turn | None, applies: bool | None = True, target: str = "") -> Rule:
    return Rule(applies, does, target, f"{does} {target}".strip())


def verdict(*rules: Rule, policy: Verdict = ACCEPT, **chains: list[Rule]) -> Verdict:
    return ruling(Ruleset([Base("input", Ruling(policy))], {"input": list(rules), **chains})).verdict


def test_without_a_rule_the_policy_decides_and_without_a_chain_everything_is_accepted() -> None:
    assert verdict() is ACCEPT
    assert verdict(policy=DROP) is DROP
    assert ruling(Ruleset([], {})).verdict is ACCEPT


def test_the_first_rule_that_applies_decides() -> None:
    assert verdict(rule(DROP, applies=False), rule(None), rule(ACCEPT), rule(DROP)) is ACCEPT
    assert verdict(rule(DROP), rule(ACCEPT)) is DROP


@pytest.mark.parametrize(
    ("perhaps", "then", "found"),
    [(ACCEPT, DROP, Verdict.DEPENDS), (DROP, ACCEPT, Verdict.DEPENDS), (DROP, DROP, DROP), (ACCEPT, ACCEPT, ACCEPT)],
)
def test_a_rule_that_may_apply_matters_where_it_would_change_the_outcome(
    perhaps: Verdict, then: Verdict, found: Verdict
) -> None:
    assert verdict(rule(perhaps, applies=None), policy=then) is found
    assert verdict(rule(perhaps, applies=None), rule(then)) is found
    assert verdict(rule(Turn.JUMP, None, "own"), policy=then, own=[rule(perhaps)]) is found


def test_what_depends_names_the_rule_it_depends_on() -> None:
    chains = {"input": [rule(ACCEPT, applies=None)]}
    assert ruling(Ruleset([Base("input", Ruling(DROP))], chains)) == Ruling(Verdict.DEPENDS, "accepted")


def test_jumps_come_back_gotos_do_not_and_returns_leave() -> None:
    assert verdict(rule(Turn.JUMP, target="own"), rule(DROP), own=[rule(None)]) is DROP
    assert verdict(rule(Turn.JUMP, target="own"), rule(DROP), own=[rule(ACCEPT)]) is ACCEPT
    assert verdict(rule(Turn.GOTO, target="own"), rule(DROP), own=[rule(None)]) is ACCEPT
    assert verdict(rule(Turn.JUMP, target="own"), rule(DROP), own=[rule(Turn.RETURN), rule(ACCEPT)]) is DROP


def test_chains_that_jump_in_a_circle_end() -> None:
    assert verdict(rule(Turn.JUMP, target="input"), policy=DROP) is DROP


def test_every_base_chain_must_accept() -> None:
    rules = Ruleset(
        [Base("raw", Ruling(ACCEPT)), Base("input", Ruling(ACCEPT)), Base("late", Ruling(DROP, "the policy of late"))],
        {"raw": [rule(ACCEPT)], "input": [rule(ACCEPT)]},
    )
    assert ruling(rules) == Ruling(DROP, "the policy of late")
