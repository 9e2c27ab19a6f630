"""The covering is held against brute force, and each rule of the diagnosis against every cause that is declared."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from calls_doctor.diagnosis import cover as cover_module
from calls_doctor.diagnosis.cause import Cause, Evidence, Outcome, Prediction
from calls_doctor.diagnosis.causes import CAUSES
from calls_doctor.diagnosis.cover import LOOK_HERE, Candidate, cover, diagnose
from calls_doctor.diagnosis.media_evidence import SERVE_RUNS
from calls_doctor.model.check import CheckResult, Status
from calls_doctor.model.flow import Endpoint, Flow, Party, Role
from calls_doctor.model.report import Confidence, Impact, Remedy
from calls_doctor.model.site import Phase
from tests.diagnosis import findings as f

FLOW = Flow(from_=Endpoint(role=Role.CLIENT), to=Endpoint(role=Role.MEDIA), protocol="udp", port=8443)
DOUBTS = list(Confidence)


def candidate(name: str, *explains: str, confidence: Confidence = Confidence.CERTAIN) -> Candidate:
    outcomes = frozenset((check, "client", "") for check in explains)
    prediction = Prediction(explains=outcomes, flow=FLOW, summary=name, confidence=confidence)
    cause = Cause(
        id=f"family.{name}", party=Party.PATH, impact=Impact.NO_CALLS, meaning=name, predicts=lambda _: prediction,
        remedy=Remedy(summary=name),
    )  # fmt: skip
    return Candidate(cause, prediction)


def wanted(*checks: str) -> frozenset[Outcome]:
    return frozenset((check, "client", "") for check in checks)


def names(chosen: list[Candidate]) -> list[str]:
    return [one.cause.id.removeprefix("family.") for one in chosen]


def test_one_cause_that_explains_all_beats_one_for_each() -> None:
    chosen, disputed = cover(wanted("a", "b"), [candidate("x", "a"), candidate("y", "b"), candidate("z", "a", "b")])
    assert (names(chosen), disputed) == (["z"], [])


def test_a_cause_that_is_sure_beats_one_that_is_not() -> None:
    sure, unsure = candidate("sure", "a"), candidate("unsure", "a", confidence=Confidence.LIKELY)
    assert names(cover(wanted("a"), [unsure, sure])[0]) == ["sure"]


def test_what_sets_as_good_disagree_about_is_disputed_and_the_rest_is_not() -> None:
    chosen, disputed = cover(wanted("a", "b"), [candidate("x", "a"), candidate("y", "a"), candidate("z", "b")])
    assert (names(chosen), names(disputed)) == (["x", "y", "z"], ["x", "y"])


def test_what_nothing_explains_is_left_and_what_is_not_wanted_counts_for_nothing() -> None:
    chosen, _ = cover(wanted("a", "mystery"), [candidate("x", "a", "not wanted"), candidate("y", "elsewhere")])
    assert names(chosen) == ["x"]
    assert cover(wanted("mystery"), [candidate("x", "a")]) == ([], [])
    assert cover(frozenset(), [candidate("x", "a")]) == ([], [])


CHECKS = "abcdef"


@given(
    st.lists(st.tuples(st.sets(st.sampled_from(CHECKS), min_size=1, max_size=4), st.sampled_from(DOUBTS)), max_size=8),
    st.sets(st.sampled_from(CHECKS), max_size=6),
)
def test_no_smaller_and_no_surer_set_covers_as_much(drawn: list[tuple[set[str], Confidence]], checks: set[str]) -> None:
    candidates = [candidate(str(n), *sorted(explains), confidence=doubt) for n, (explains, doubt) in enumerate(drawn)]
    goal = wanted(*checks)
    reachable = goal & frozenset[Outcome]().union(*(c.prediction.explains for c in candidates))

    def doubts(chosen: tuple[Candidate, ...]) -> int:
        return sum(DOUBTS.index(c.prediction.confidence) for c in chosen)

    sizes = (
        [
            one
            for one in combinations(candidates, size)
            if reachable <= frozenset().union(*(c.prediction.explains for c in one))
        ]
        for size in range(len(candidates) + 1)
    )
    best = next(covering for covering in sizes if covering)
    surest = [one for one in best if doubts(one) == min(map(doubts, best))]
    chosen, disputed = cover(goal, candidates)
    assert reachable <= frozenset[Outcome]().union(*(c.prediction.explains for c in chosen))
    assert {c for c in chosen if c not in disputed} >= set(chosen).intersection(*surest)
    assert any(set(one) <= set(chosen) for one in surest)
    assert all(any(c in one for one in surest) for c in chosen)


def test_sixty_overlapping_candidates_take_no_longer_than_the_search_may() -> None:
    checks = [f"c{n}" for n in range(60)]
    candidates = [candidate(str(n), *(checks[(n * 7 + k * k) % 60] for k in range(5))) for n in range(60)]
    search_steps: list[int] = []

    class Counting(cover_module._Search):
        def smallest(self) -> list[frozenset[Candidate]]:
            found = super().smallest()
            search_steps.append(self._steps)
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cover_module, "_Search", Counting)
        chosen, _ = cover(wanted(*checks), candidates)
    assert frozenset().union(*(c.prediction.explains for c in chosen)) >= wanted(*checks)
    assert search_steps[0] <= cover_module.STEPS_MAX + 6 * 60


def test_twenty_faults_that_have_nothing_in_common_are_all_named() -> None:
    checks = [f"c{n}" for n in range(20)]
    chosen, disputed = cover(wanted(*checks), [candidate(check, check) for check in checks])
    assert (names(chosen), disputed) == (checks, [])


# --- all causes that are declared ---


def one_of_two(host: str, results: list[CheckResult]) -> list[CheckResult]:
    """The same results about one of two media hosts."""
    return [structs.replace(one, host=f"{host}:8443", target=one.target.replace(f.MEDIA_HOST, host)) for one in results]


SHOWN_BY: dict[str, list[CheckResult]] = {
    "media.udp-blocked-inbound": [udp_in := f.udp(trouble="silent", arrived=0), f.tcp(24, arrived=24)],
    "media.udp-blocked-return": [f.udp(trouble="silent", arrived=24), f.tcp(24, arrived=24)],
    "media.reply-address-changed": [f.astray(), f.tcp(24, arrived=24)],
    "media.udp-rejected": [f.udp(trouble="refused", arrived=0), f.tcp(24, arrived=24)],
    "media.udp-rate-limited": [
        *f.good_echoes(),
        f.call("media.call-udp", "media", to_far=(300, 100), from_far=(100, 100)),
    ],
    "media.tcp-blocked": [f.udp(24, arrived=24), f.tcp(trouble="silent", sent=0)],
    "media.tcp-rejected": [f.udp(24, arrived=24), f.tcp(trouble="refused", sent=0)],
    "media.tcp-stalled": [f.udp(24, arrived=24), f.tcp(trouble="silent", arrived=0)],
    "media.blocked": [
        f.udp(trouble="silent"),
        f.tcp(trouble="silent", sent=0),
        f.result("port.api-tcp", Status.PASS, f.API),
    ],
    "media.not-running": [f.udp(trouble="refused"), f.tcp(trouble="refused", sent=0)],
    "media.port-taken": [f.taken()],
    "media.dtls-blocked": [*f.good_echoes(), f.call("media.call-udp", "dtls")],
    "api.blocked": [f.api("connect", "silent")],
    "api.refused": [f.api("connect", "refused")],
    "api.no-answer": [f.api("http", "silent")],
    "api.wrong-service": [f.api("http", "not-http")],
    "tls.invalid": [f.api("http", "wants-tls")],
    "tls.expired": [f.expired(), f.clocks(site=0.4)],
    "clock.skewed": [f.clocks(site=3600.0)],
    "mattermost.unreachable": [f.site("connect", "silent", "tls.site")],
    "mattermost.websocket-blocked": [f.site("websocket", "status-400")],
    "api.bad-gateway": [f.api("http", "status-502")],
    "api.websocket-blocked": [f.api("websocket", "cut")],
    "api.unauthorized": [f.api("websocket", "unauthorized")],
    "stun.blocked-client": [f.result("stun.reach", Status.FAIL, "stun:stun.example.com:3478")],
    "stun.blocked-server": [f.result("stun.reach", Status.FAIL, "stun:stun.example.com:3478", at="media")],
    "stun.wrong-answer": [f.public_ip({"stun:a:3478": ["198.51.100.7"], "stun:b:3478": ["10.0.0.7"]})],
    "turn.not-running": [
        f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "refused"), f.turn_row(f.TURN_TCP, "refused"))
    ],
    "turn.udp-blocked": [f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP))],
    "turn.tcp-blocked": [f.turn("turn.challenge", f.turn_row(f.TURN_UDP), f.turn_row(f.TURN_TCP, "silent"))],
    "turn.blocked": [f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "silent"), f.turn_row(f.TURN_TCP, "silent"))],
    "turn.tls-invalid": [f.turn("turn.challenge", f.turn_row(f.TURNS, "tls"))],
    "turn.wrong-service": [f.turn("turn.challenge", f.turn_row(f.TURN_TCP, "not-turn"))],
    "turn.unauthenticated": [f.turn("turn.challenge", f.turn_row(f.TURN_UDP, "open", 0))],
    "turn.credentials-expired": [
        f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "refused-request", 401, expired_s=90.0))
    ],
    "turn.secret-mismatch": [f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "refused-request", 401, expired_s=None))],
    "turn.quota": [f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "refused-request", 486))],
    "turn.not-allocating": [f.turn("turn.allocate", f.turn_row(f.TURN_UDP, "refused-request", 442))],
    "turn.relay-address-private": [
        f.turn("turn.allocate", f.turn_row(f.TURN_UDP, relayed=["10.0.0.3", 50000], relayed_private=True))
    ],
    "turn.peer-denied": [f.turn("turn.permission", f.turn_row(f.TURN_UDP, "refused-request", 403, peer=f.MEDIA_HOST))],
    "turn.relay-blocked": [f.relay_range()],
    "path.loss": [f.udp(24, arrived=24), f.path(("loss", "to_far"))],
    "path.bandwidth": [f.thin_link(), f.tcp(24, arrived=24)],
    "path.latency": [f.udp(24, arrived=24), f.path(("latency", ""))],
    "path.jitter": [f.udp(24, arrived=24), f.path(("jitter", "from_far"))],
    "path.reordering": [f.udp(24, arrived=24), f.path(("reordering", "from_far"))],
    "path.mtu-blackhole": [f.udp(24, arrived=24), f.mtu(1252)],
    "client.udp-blocked": [
        f.egress(works=False),
        f.stun_reach(),
        f.udp(trouble="silent", arrived=0),
        f.tcp(24, arrived=24),
    ],
    "client.only-443": [
        f.egress(works=False),
        f.udp(trouble="silent"),
        f.tcp(trouble="silent", sent=0),
        f.turn("turn.challenge", f.turn_row(f.TURN_TCP, "silent"), f.turn_row(f.TURN_443)),
    ],
    "client.port-blocked": [
        f.udp(trouble="silent", arrived=0),
        f.tcp(trouble="silent", sent=0),
        f.udp(24, arrived=24, at="offloader"),
        f.tcp(24, arrived=24, at="offloader"),
    ],
    "client.proxied": [f.result("env.control", Status.FAIL, f.TCP, result="opened")],
    "advertise.private-address": [*f.good_echoes(), f.advertised("class", f.candidate("10.0.1.20", kind="host"))],
    "advertise.wrong-address": [*f.good_echoes(), f.advertised("reachable", f.candidate("203.0.113.99"))],
    "advertise.nothing": [*f.good_echoes(), f.advertised("class")],
    "nat.hairpin-missing": [*f.good_echoes(), f.hairpin()],
    "nat.binding-short": [*f.good_echoes(), f.idle()],
    "media.port-rewritten": [*f.good_echoes(), f.led_to(18443)],
    "nat.port-not-preserved": [*f.good_echoes(), f.advertised("reachable", f.candidate(port=40123, kind="mapped"))],
    "api.too-old": [f.result("config.versions", Status.FAIL, f.API)],
    "api.exposed": [f.result("port.api-exposure", Status.FAIL, f.API, caller_may_not=True, answers="HTTP 200")],
    "media.node-unreachable": [
        *one_of_two("203.0.113.20", f.good_echoes()),
        *one_of_two(
            "203.0.113.21",
            [
                f.udp(trouble="silent"),
                f.tcp(trouble="silent", sent=0),
            ],
        ),
    ],
    "dns.nxdomain": [f.name_fault("dns.nxdomain")],
    "dns.servfail": [f.name_fault("dns.servfail")],
    "dns.timeout": [f.name_fault("dns.timeout")],
    "dns.slow": [f.name_fault("dns.slow")],
    "dns.private-answer": [f.name_fault("dns.private-answer", "10.0.1.20")],
    "dns.wrong-answer": [f.name_fault("dns.wrong-answer", "203.0.113.99")],
    "dns.stale-record": [f.name_fault("dns.stale-record", "203.0.113.99")],
    "dns.ipv6-dead": [f.name_fault("dns.ipv6-dead", "2001:db8::9")],
    "host.firewall": [f.udp(trouble="forbidden")],
    "host.no-sockets": [f.result("env.platform", Status.FAIL)],
    "host.fd-limit": [f.no_descriptor()],
    "host.buffers-small": [f.udp(24, arrived=24), f.lost_there(40), f.dropped(60)],
    "host.proxy-environment": [f.caught_by_proxy()],
}
"""Cause -> results that show it and nothing else."""
ONLY_BEFORE_AN_INSTALL = {"media.port-taken"}
ONLY_AT_SERVERS = {"stun.blocked-server", "media.port-taken", "host.buffers-small", "host.proxy-environment"}
ONLY_WITH_TWO_HOSTS = {one for one in SHOWN_BY if one.split(".")[0] in ("advertise", "dns", "nat")} | {
    "api.exposed",
    "client.port-blocked",
    "client.proxied",
    "media.node-unreachable",
    "path.mtu-blackhole",
}


def test_every_cause_has_its_case_here() -> None:
    assert set(SHOWN_BY) == {cause.id for cause in CAUSES}
    assert len({cause.id for cause in CAUSES}) == len(CAUSES)


@pytest.mark.parametrize("cause", SHOWN_BY)
def test_every_cause_is_reached_from_evidence_alone(cause: str) -> None:
    assert f.causes(*SHOWN_BY[cause]) == [cause]


@pytest.mark.parametrize(
    "cause", sorted(set(SHOWN_BY) - ONLY_BEFORE_AN_INSTALL - ONLY_AT_SERVERS - ONLY_WITH_TWO_HOSTS)
)
def test_in_the_self_test_every_fault_is_this_machines_or_the_settings_and_sure(cause: str) -> None:
    (found,) = f.diagnosed(*SHOWN_BY[cause], phase=Phase.SELF_TEST)
    assert found.cause == cause
    assert (found.party, found.confidence) == (Party.CALLER_MACHINE, Confidence.CERTAIN)
    assert found.remedy.steps[0] == LOOK_HERE


@pytest.mark.parametrize("cause", SHOWN_BY)
def test_because_names_what_did_not_pass_and_nothing_else(cause: str) -> None:
    (found,) = f.diagnosed(*SHOWN_BY[cause])
    bad = {r.id for r in SHOWN_BY[cause] if r.status in (Status.FAIL, Status.WARN)}
    assert set(found.because) == bad


@pytest.mark.parametrize("cause", SHOWN_BY)
def test_what_one_vantage_cannot_decide_is_at_most_likely_and_the_deciding_test_comes_first(cause: str) -> None:
    (found,) = f.diagnosed(*SHOWN_BY[cause])
    declared = next(one for one in CAUSES if one.id == cause)
    first = [step for step in found.remedy.steps if step not in declared.remedy.steps]
    if found.party is Party.UNDECIDED:
        assert found.confidence is not Confidence.CERTAIN
        assert declared.deciding_test in first
        assert found.remedy.steps[: len(first)] == first
    else:
        assert first in ([], [SERVE_RUNS])


def test_two_faults_that_have_nothing_to_do_with_each_other_are_both_named() -> None:
    """Every pair of families: whatever the one's cause is, it neither hides nor explains the other's."""
    apart = {"stun.blocked-client", "turn.unauthenticated", "api.blocked", "media.tcp-blocked", "path.jitter"}
    for one, other in combinations(sorted(apart), 2):
        results = {r.id: r for r in (*SHOWN_BY[one], *SHOWN_BY[other])}
        both = sorted(f.causes(*results.values()))
        assert both == sorted((one, other)), (one, other)


UNRELATED = ("env.platform", "env.port-free", "stun.public-ip", "dns.site", "tls.site")


@given(
    st.sampled_from(sorted(SHOWN_BY)), st.sets(st.sampled_from(UNRELATED)), st.booleans(), st.sampled_from(list(Phase))
)
def test_an_unrelated_pass_never_changes_the_answer(cause: str, more: set[str], first: bool, phase: Phase) -> None:
    results = SHOWN_BY[cause]
    added = f.passed(*sorted(more - {r.id for r in results}))
    assert f.diagnosed(*(added + results if first else results + added), phase=phase) == f.diagnosed(
        *results, phase=phase
    )


@given(st.permutations(SHOWN_BY["media.udp-rate-limited"]))
def test_the_order_of_the_results_is_nothing(results: list[CheckResult]) -> None:
    assert f.diagnosed(*results) == f.diagnosed(*SHOWN_BY["media.udp-rate-limited"])


UDP_STATES = {
    "pass": lambda: f.udp(24, arrived=24), "lossy": lambda: f.udp(21, "silent", 22),
    "half": lambda: f.udp(12, "silent", 20),
    "half, uncounted": lambda: f.udp(12, "silent", None), "inbound": lambda: f.udp(0, "silent", 0),
    "return": lambda: f.udp(0, "silent", 24), "silent": lambda: f.udp(0, "silent", None),
    "refused": lambda: f.udp(0, "refused", None), "rejected at last": lambda: f.udp(6, "refused", 6),
    "unreachable": lambda: f.udp(0, "unreachable", None),
}  # fmt: skip
TCP_STATES = {
    "pass": lambda: f.tcp(24, arrived=24), "silent": lambda: f.tcp(0, "silent", None, sent=0),
    "refused": lambda: f.tcp(0, "refused", None, sent=0), "unreachable": lambda: f.tcp(0, "unreachable", None, sent=0),
    "stalled": lambda: f.tcp(0, "silent", None), "cut": lambda: f.tcp(0, "cut", None),
    "slow": lambda: f.tcp(12, "silent", 12),
    "not made": lambda: f.result("port.rtc-tcp-echo", Status.SKIP),
}  # fmt: skip


@pytest.mark.parametrize("phase", [Phase.SELF_TEST, Phase.PRE])
@pytest.mark.parametrize(("udp", "tcp"), list(product(UDP_STATES, TCP_STATES)))
def test_whatever_the_two_ports_do_no_failure_stays_unexplained(udp: str, tcp: str, phase: Phase) -> None:
    results = [UDP_STATES[udp](), TCP_STATES[tcp]()]
    found = f.diagnosed(*results, phase=phase)
    failed = {r.id for r in results if r.status is Status.FAIL}
    assert failed <= {check for one in found for check in one.because}
    assert len(found) <= 3
    assert found or not failed


STAGES = ("ice", "dtls", "media")


@pytest.mark.parametrize("phase", [Phase.SELF_TEST, Phase.PRE])
@pytest.mark.parametrize("trouble", ["", "silent", "refused", "cut", "unreachable"])
@pytest.mark.parametrize("stage", [*STAGES, "allocate"])
@pytest.mark.parametrize("check", ["media.self", "media.call-udp", "media.call-tcp", "media.call-relay"])
def test_no_call_that_failed_stays_unexplained(check: str, stage: str, trouble: str, phase: Phase) -> None:
    to_far, from_far = ((15, 0), (0, 0)) if stage == "media" else ((0, None), (None, 0))
    results = [*f.good_echoes(), f.call(check, stage, trouble, to_far, from_far)]
    if stage == "allocate" and check != "media.call-relay":
        return  # only a relayed call allocates
    assert check in {one for found in f.diagnosed(*results, phase=phase) for one in found.because}


@pytest.mark.parametrize(
    "trouble", ["silent", "refused", "unreachable", "tls", "not-turn", "refused-request", "open", "odd-answer"]
)
@pytest.mark.parametrize("other", ["", "silent", "refused", "unreachable", "tls", "not-turn"])
@pytest.mark.parametrize("check", ["turn.challenge", "turn.allocate"])
def test_no_turn_server_in_trouble_stays_unexplained(check: str, trouble: str, other: str) -> None:
    result = f.turn(check, f.turn_row(f.TURN_UDP, trouble), f.turn_row(f.TURN_TCP, other))
    found = f.diagnosed(result)
    assert found
    named = " ".join(one.subject for one in found)
    assert f.TURN_UDP in named
    assert not other or f.TURN_TCP in named


@given(st.lists(st.sampled_from(sorted(SHOWN_BY)), max_size=12))
def test_no_set_of_faults_makes_it_fail_or_name_a_check_that_passed(faults: list[str]) -> None:
    results = {(r.id, r.vantage): r for fault in faults for r in SHOWN_BY[fault]}
    bad = {r.id for r in results.values() if r.status in (Status.FAIL, Status.WARN)}
    for found in diagnose(Evidence(Phase.PRE, list(results.values())), CAUSES):
        assert set(found.because) <= bad
        assert found.because
