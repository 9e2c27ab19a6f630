"""Selection is pure: sites and made-up checks in, a plan out."""

from __future__ import annotations

import pytest

from calls_doctor.engine.select import TAKES_LONGER, CheckPlan, select, with_needs
from calls_doctor.errors import UsageError
from calls_doctor.model.check import Finding, Status
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, Site
from calls_doctor.spec import AtRtcd, CheckSpec, Context

SITE = Site(vantage=Role.CLIENT, phase=Phase.PRE)


async def probe(_context: Context) -> Finding:
    return Finding(status=Status.PASS, summary="fine")


def spec(check: str, *needs: str, **more: object) -> CheckSpec:
    return CheckSpec(id=check, title=f"{check} is fine", probe=probe, needs=needs, **more)  # type: ignore[arg-type]  # any field


SPECS = (spec("env.a"), spec("port.b", "env.a"), spec("port.c", "port.b"), spec("turn.d", "env.a"))


def ids(plan: CheckPlan) -> list[str]:
    return [one.id for one in plan.planned]


def reasons(plan: CheckPlan) -> dict[str, str]:
    return {out.id: out.why for out in plan.left_out}


def test_all_that_fits_runs_in_the_order_of_the_table() -> None:
    plan = select(SITE, SPECS)
    assert ids(plan) == ["env.a", "port.b", "port.c", "turn.d"]
    assert (plan.left_out, plan.for_others) == ((), frozenset())


def test_only_takes_ids_and_categories_and_brings_what_they_need() -> None:
    plan = select(SITE, SPECS, only=["port.c"])
    assert ids(plan) == ["env.a", "port.b", "port.c"]
    assert plan.for_others == {"env.a", "port.b"}
    assert reasons(plan) == {"turn.d": "not among those named by --only"}
    assert ids(select(SITE, SPECS, only=["turn"])) == ["env.a", "turn.d"]


def test_skip_is_a_result_with_the_users_reason_and_its_dependents_stay_planned() -> None:
    plan = select(SITE, SPECS, skip={"port.b": "known to be shut", "turn": ""})
    assert ids(plan) == ["env.a", "port.c"]
    assert {(out.id, out.why, out.asked, out.title) for out in plan.left_out} == {
        ("port.b", "known to be shut", True, "port.b is fine"),
        ("turn.d", "skipped by --skip", True, "turn.d is fine"),
    }


def test_what_runs_for_another_is_marked_only_where_it_runs() -> None:
    assert select(SITE, SPECS, only=["port.c"], skip={"port.b": ""}).for_others == {"env.a"}


@pytest.mark.parametrize(
    ("unfit", "why"),
    [
        ({"phases": frozenset({Phase.POST})}, "not part of phase pre"),
        ({"vantages": frozenset({Role.MEDIA, Role.TURN})}, "made from media or turn, not from client"),
        ({"nothing_to_do": lambda _site: "no server was named"}, "no server was named"),
    ],
)
def test_a_check_that_does_not_fit_is_left_out_with_its_reason_and_so_is_what_needs_it(
    unfit: dict[str, object], why: str
) -> None:
    plan = select(SITE, [spec("env.a", **unfit), spec("port.b", "env.a"), spec("port.c", "port.b")])
    assert ids(plan) == []
    assert reasons(plan)["env.a"] == why
    assert reasons(plan)["port.b"] == f"env.a, which it needs, does not run: {why}"
    assert reasons(plan)["port.c"].startswith("port.b, which it needs, does not run")


def test_what_takes_longer_runs_where_a_thorough_look_is_wanted_and_alone_nowhere_else() -> None:
    specs = [spec("env.a"), spec("port.b", "env.a", thorough_only=True), spec("port.c", "port.b")]
    plan = select(SITE, specs)
    assert ids(plan) == ["env.a"]
    assert reasons(plan)["port.b"] == TAKES_LONGER
    assert not next(out for out in plan.left_out if out.id == "port.b").unfit, "the reader may have it"
    assert ids(select(SITE, specs, thorough=True)) == ["env.a", "port.b", "port.c"]
    assert ids(select(SITE, specs, only=["port.b"])) == ["env.a"]
    assert reasons(select(SITE, specs, skip={"port.b": "mine"}))["port.b"] == "mine"


def test_what_is_made_on_request_runs_for_who_names_its_id_and_for_nobody_else() -> None:
    specs = [spec("port.a"), spec("port.b", "port.a", on_request=True)]
    for plan in (select(SITE, specs), select(SITE, specs, thorough=True), select(SITE, specs, only=["port"])):
        assert ids(plan) == ["port.a"]
        assert reasons(plan)["port.b"] == "only on request: --only port.b runs it"
        assert not next(out for out in plan.left_out if out.id == "port.b").unfit, "the reader may have it"
    assert ids(select(SITE, specs, only=["port.b"])) == ["port.a", "port.b"]


def test_a_use_that_does_not_fit_hinders_nobody() -> None:
    plan = select(SITE, [spec("env.a", phases=frozenset({Phase.POST})), spec("port.b", uses=("env.a",))])
    assert ids(plan) == ["port.b"]


def test_what_does_not_fit_was_not_skipped_by_the_user() -> None:
    plan = select(SITE, [spec("env.a", phases=frozenset({Phase.POST}))], skip={"env.a": "mine"})
    assert [(out.why, out.asked) for out in plan.left_out] == [("not part of phase pre", False)]


def named(how: str, word: str) -> CheckPlan:
    return select(SITE, SPECS, only=[word]) if how == "only" else select(SITE, SPECS, skip={word: ""})


@pytest.mark.parametrize("how", ["only", "skip"])
def test_an_unknown_word_is_told_the_nearest(how: str) -> None:
    with pytest.raises(UsageError, match=r'"port\.bb" is no check and no category; did you mean "port\.b"\?'):
        named(how, "port.bb")
    with pytest.raises(UsageError, match="--list"):
        named(how, "zzzz")


def test_needs_are_followed_through_others_and_unknown_ones_are_not() -> None:
    assert with_needs(["port.c"], SPECS) == {"port.c", "port.b", "env.a"}
    assert with_needs(["x.y"], [spec("x.y", "not.built")]) == {"x.y"}


def test_where_rtcd_was_named_and_no_link_given_a_check_may_be_another() -> None:
    async def other(_context: Context) -> Finding:
        return Finding(status=Status.PASS, summary="another")

    there = AtRtcd(
        probe=other, nothing_to_do=lambda site: "no API" * (not site.rtcd_url), needs=("turn.d",), packets_max=9
    )
    call = spec("media.e", "port.b", about_host=True, vantages=frozenset({Role.CLIENT}), at_rtcd=there)
    node = Site(vantage=Role.MATTERMOST, phase=Phase.UNDETERMINED, rtcd_url="http://rtcd:8045")
    plan = select(node, (*SPECS, call), only=["media"])
    assert ids(plan) == ["env.a", "turn.d", "media.e"]
    made = plan.planned[-1]
    assert (made.probe, made.about_host, list(made.targets(node))) == (other, False, ["http://rtcd:8045"])
    for site in (
        Site(vantage=Role.CLIENT, phase=Phase.PRE, rtcd_url="http://rtcd:8045", paired=True),
        Site(vantage=Role.CLIENT, phase=Phase.SELF_TEST, rtcd_url="http://rtcd:8045"),
        Site(vantage=Role.CLIENT, phase=Phase.PRE),
    ):
        assert select(site, (*SPECS, call), only=["media"]).planned[-1].probe is probe
