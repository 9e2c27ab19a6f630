"""A shared screen of our own through rtcd itself, and through our stand-in as if it were one: seen and counted at both
ends, and what is said where it is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Transport
from calls_doctor.net import rtcd_video
from calls_doctor.net.rtcd_access import MediaWay, RtcdAccess
from calls_doctor.net.rtcd_call import RtcdOutcome
from calls_doctor.net.sockets import open_udp
from tests.servers.middlebox import HOST, Middlebox, Rule, Way
from tests.servers.rtcd_or_stand_in import SERVERS, served
from tests.servers.rtcd_server import RtcdServer

TIME_S = 0.6


@pytest.mark.parametrize("of", SERVERS)
@pytest.mark.parametrize("rate", [rtcd_video.PACKETS_PER_S, rtcd_video.FULL_PACKETS_PER_S])
async def test_a_screen_is_seen_whole(of: str, rate: int) -> None:
    async with served(of) as server:
        access = RtcdAccess(url=server.url, authorization=Secret(server.authorization[1]))
        made = await rtcd_video.hold(access, rate, TIME_S)
    assert made.call.failure is None, made.call.failure
    screen = made.signalling["screen"]
    assert screen["received"] == screen["sent"] == round(rate * TIME_S)
    assert screen["offered"] and screen["key_frames_wanted"] >= 1, "who sees it has asked for a whole picture"
    assert screen["nacks"] == 0
    assert 0.2 < screen["carried_bits_per_s"] / (8 * 1256 * rate) < 1.5, "as far as this machine keeps time"
    assert made.signalling["closes_told"] == 2 and made.signalling["left_over"] == 0


async def behind(server: RtcdServer, *rules: Rule) -> RtcdOutcome:
    """A screen whose packets go through a network with these rules."""
    access = RtcdAccess(url=server.url, authorization=Secret(server.authorization[1]))
    async with Middlebox((HOST, server.media_port), *rules) as box:
        here = HOST, box.port
        way = MediaWay(Transport.UDP, lambda _, receiver: open_udp(here, receiver))
        return await rtcd_video.hold(access, rtcd_video.PACKETS_PER_S, TIME_S, way)


def large(going: Way, every: int = 1) -> Rule:
    """Loses large datagrams this way, each n-th."""
    seen = 0

    def rule(way: Way, data: bytes) -> Sequence[float] | None:
        nonlocal seen
        if way is not going or len(data) < 1200:
            return None
        seen += 1
        return [] if seen % every == 0 else None

    return rule


@pytest.mark.parametrize("of", SERVERS)
@pytest.mark.parametrize(
    ("going", "said"), [(Way.OUT, "rtcd did not offer the screen"), (Way.BACK, "and no RTP of it came")], ids=str
)
async def test_where_its_packets_are_lost_it_is_black(
    of: str, going: Way, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtcd_video, "HEARD_S", 0.6)
    async with served(of) as server:
        made = await behind(server, large(going))
    failure = made.call.failure
    assert failure is not None and failure.stage == "media" and said in failure.reason
    assert made.signalling["screen"]["received"] == 0 and made.signalling["api"] == "answers"


@pytest.mark.parametrize("of", SERVERS)
async def test_what_is_lost_of_it_is_counted(of: str) -> None:
    async with served(of) as server:
        made = await behind(server, large(Way.BACK, every=5))
    screen = made.signalling["screen"]
    assert made.call.failure is None
    assert 1 - screen["received"] / screen["sent"] == pytest.approx(0.2, abs=0.06)
