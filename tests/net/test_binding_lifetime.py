"""Flows that are silent, against a real stand-in, through a middlebox that forgets them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from calls_doctor.errors import StunError
from calls_doctor.model.books import PROBES_MAX, ProbeSeen, SessionBooks
from calls_doctor.model.flow import Transport
from calls_doctor.net import binding_lifetime, pace
from calls_doctor.net.binding_lifetime import ASKS, SILENCES_S, SilentFlow, Survival
from calls_doctor.net.paired import PairedHost
from calls_doctor.sfu import sfu
from calls_doctor.standin.server import StandIn
from calls_doctor.wire import held_answers, stun
from tests.servers.media_host import box_before, media_host, paired
from tests.servers.middlebox import Middlebox, Rule, Way, double, drop, lose

SHORT_S, LONG_S = 0.2, 1.2
BETWEEN_S = 0.7
SILENCES = (SHORT_S, LONG_S)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the traffic, and a fifth of the silence after which a path is dead."""
    monkeypatch.setattr(binding_lifetime, "TRAFFIC_S", 0.3)
    monkeypatch.setattr(binding_lifetime, "TRAFFIC_EVERY_S", 0.05)
    monkeypatch.setattr(binding_lifetime, "ASK_EVERY_S", 0.02)
    monkeypatch.setattr(binding_lifetime, "LATE_S", 0.2)
    monkeypatch.setattr(stun, "PROBE_SCHEDULE_S", tuple(at / 5 for at in stun.PROBE_SCHEDULE_S))
    monkeypatch.setattr(stun, "PROBE_DECIDED_S", stun.PROBE_DECIDED_S / 5)


def asks(data: bytes) -> bool:
    """A request whose answer is to be held."""
    try:
        return stun.parse(data).get(stun.HOLD_ANSWER) is not None
    except StunError:
        return False


def lose_asks(first: int) -> Rule:
    """Loses the first so many of them."""
    left = first

    def rule(way: Way, data: bytes) -> Sequence[float] | None:
        nonlocal left
        if way is not Way.OUT or not asks(data) or not left:
            return None
        left -= 1
        return []

    return rule


async def survivals(host: PairedHost, *silences_s: float) -> list[Survival]:
    """As the check has them."""
    settings = host.session_settings("u")
    flows = await binding_lifetime.run(host.opener(Transport.UDP), settings.ice_credentials, silences_s)
    books = await host.books()
    session = next((one for one in books.sessions if one.session == settings.session), None) if books else None
    return [binding_lifetime.survival(flow, session) for flow in flows]


async def through(*rules: Rule, forgets_after_s: float = 1e6, silences_s: Sequence[float] = SILENCES) -> list[Survival]:
    async with media_host() as stand_in, box_before(stand_in, *rules, forgets_after_s=forgets_after_s) as box:
        return await survivals(paired(stand_in.ready, box.port), *silences_s)


async def test_a_flow_that_nobody_forgets_is_remembered_and_keeps_its_mapping() -> None:
    found = await through()
    assert [(one.flow.silent_s, one.remembered, one.why) for one in found] == [(SHORT_S, True, ""), (LONG_S, True, "")]
    assert all(one.flow.mapped_before and one.flow.mapped_before == one.flow.mapped_after for one in found)


async def test_a_flow_that_is_forgotten_is_told_from_one_that_is_not_yet() -> None:
    short, long = await through(forgets_after_s=BETWEEN_S)
    assert (short.remembered, long.remembered, long.why) == (True, False, "")
    assert short.flow.mapped_before == short.flow.mapped_after
    assert None not in (long.flow.mapped_before, long.flow.mapped_after)
    assert long.flow.mapped_before != long.flow.mapped_after, "this middlebox maps anew"


async def test_nobody_sends_while_it_is_silent() -> None:
    at: list[float] = []

    def note(_way: Way, _data: bytes) -> None:
        at.append(asyncio.get_running_loop().time())

    await through(note, silences_s=[LONG_S])
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(at))
    assert gaps[-1] >= LONG_S - 0.1, "from the last request, which timers may delay, to the first answer"
    assert gaps[-2] < LONG_S / 2


@pytest.mark.parametrize("rule", [double(), lose_asks(ASKS - 2)], ids=["doubling", "few"])
async def test_what_the_network_does_to_a_few_packets_is_not_taken_for_forgetting(rule: Rule) -> None:
    (found,) = await through(rule, silences_s=[SHORT_S])
    assert (found.remembered, found.why) == (True, "")


async def test_loss_is_not_taken_for_forgetting() -> None:
    found = await through(lose(0.25, seed=4), silences_s=[SHORT_S] * 5)
    assert {one.remembered for one in found} <= {True, None}
    assert sum(one.remembered is True for one in found) >= 3


def silent(arrived: int, lost_ratio: float) -> bool | None:
    """What is made of so many requests that arrived and drew no answer."""
    flow = SilentFlow(6.0, asked=range(1, 1 + ASKS), lost_ratio=lost_ratio)
    probes = [ProbeSeen(number, 200, 1.0) for number in (*range(1, 1 + arrived), 1001, 1002)]
    return binding_lifetime.survival(flow, SessionBooks(session="s", probes=probes)).remembered


def test_silence_means_less_where_more_is_lost() -> None:
    assert [silent(6, ratio) for ratio in (0.0, 0.2, 0.45, 0.5, 0.9)] == [False, False, False, None, None]
    assert [silent(arrived, 0.2) for arrived in (1, 2, 3, 6)] == [None, None, False, False]
    assert [silent(arrived, 0.0) for arrived in (0, 1, 2)] == [None, None, False]


def test_without_the_far_ends_books_silence_means_nothing() -> None:
    found = binding_lifetime.survival(SilentFlow(6.0, asked=[1, 2, 3]), None)
    assert (found.remembered, found.why) == (None, "the far end's books could not be had")
    assert binding_lifetime.survival(SilentFlow(6.0, came=True), None).remembered is True


@pytest.mark.parametrize("lost", [ASKS, ASKS - 1])
async def test_where_the_requests_did_not_arrive_the_silence_tells_nothing(lost: int) -> None:
    (found,) = await through(lose_asks(lost), forgets_after_s=SHORT_S / 2, silences_s=[SHORT_S])
    assert (found.remembered, found.why) == (None, "the requests before it did not arrive")


async def test_two_that_arrived_and_came_to_nothing_are_enough() -> None:
    (found,) = await through(lose_asks(ASKS - 2), forgets_after_s=SHORT_S, silences_s=[LONG_S])
    assert found.remembered is False


async def test_a_path_that_has_died_meanwhile_is_no_forgotten_flow() -> None:
    async with media_host() as stand_in, box_before(stand_in) as box:
        looking = asyncio.create_task(survivals(paired(stand_in.ready, box.port), LONG_S))
        await asyncio.sleep(1.0)
        box.rules.insert(0, drop())
        (found,) = await looking
    assert (found.remembered, found.why) == (None, "nothing was answered any more after it")


async def test_a_path_that_is_dead_from_the_start_is_waited_for_no_longer_than_the_traffic_takes() -> None:
    async with asyncio.timeout(1.5):
        found = await through(drop())
    assert {(one.remembered, one.why) for one in found} == {(None, "no two-way traffic came about")}


async def test_a_far_end_that_does_not_hold_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_answers, "HOLD_MAX_S", 0.0)
    async with asyncio.timeout(1.5):
        (found,) = await through(silences_s=[25.0])
    assert (found.remembered, found.why) == (None, "the far end does not hold answers back")


async def test_a_far_end_without_room_is_asked_again_and_told_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding_lifetime, "ROOM_WAIT_S", 0.01)
    monkeypatch.setattr(sfu, "SESSIONS_MAX", 0)
    (found,) = await through(silences_s=[SHORT_S])
    assert (found.remembered, found.why) == (None, "the far end refused: 508 Too Many Sessions")


async def test_a_port_that_is_closed_is_told() -> None:
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
    (found,) = await survivals(host, SHORT_S)
    assert found.remembered is None
    assert "refused" in found.why or "closed" in found.why


async def test_a_full_stand_in_keeps_what_owes_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that has been quiet gives way to a new one, but not while its client waits for an answer."""
    monkeypatch.setattr(sfu, "SESSIONS_MAX", 1)
    monkeypatch.setattr("calls_doctor.sfu.session.IDLE_S", 0.1)
    monkeypatch.setattr(binding_lifetime, "ROOM_WAIT_S", 0.6)
    async with media_host() as stand_in:
        host = paired(stand_in.ready)
        looking = asyncio.create_task(survivals(host, LONG_S))
        await asyncio.sleep(1.0)
        (late,) = await survivals(host, SHORT_S)
        (found,) = await looking
    assert found.remembered is True
    assert late.remembered is True, "there was room once nothing was owed any more"


async def test_what_all_flows_send_is_bounded_and_is_one_session() -> None:
    silences = [LONG_S] * len(SILENCES_S)
    async with media_host() as stand_in, box_before(stand_in) as box:
        both = asyncio.gather(survivals(paired(stand_in.ready, box.port), *silences), held_after(stand_in, 1.0))
        found, held = await both
        assert [one.remembered for one in found] == [True] * len(SILENCES_S)
        assert sent(box) <= 5 * (0.3 / 0.05 + 1 + ASKS + 1)
    assert held == [ASKS * len(SILENCES_S)]


async def held_after(stand_in: StandIn, seconds: float) -> list[int]:
    """How many answers each session holds back then: all flows are one."""
    await asyncio.sleep(seconds)
    return [len(session.held) for session in stand_in._sfu._sessions.values()]


def sent(box: Middlebox) -> int:
    return sum(number for (way, _), number in box.seen.items() if way is Way.OUT)


def test_what_all_flows_ask_for_fits_the_limits() -> None:
    asks = len(SILENCES_S) * ASKS
    assert asks <= pace.PACKETS_MAX / 2, "there is room beside them in a second"
    asks_bytes = asks * (binding_lifetime.SIZE_BYTES + pace.HEADERS_BYTES)
    assert asks_bytes <= pace.BYTES_MAX - pace.STREAMS_BYTES_MAX, "and beside a call"
    assert asks <= held_answers.HELD_MAX
    assert max(SILENCES_S) + 1.0 <= held_answers.HOLD_MAX_S
    probes = 1 + binding_lifetime.TRAFFIC_S / binding_lifetime.TRAFFIC_EVERY_S + ASKS + len(stun.PROBE_SCHEDULE_S)
    assert len(SILENCES_S) * probes <= PROBES_MAX, "the far end's books name them all"
