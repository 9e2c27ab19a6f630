"""aiortc's own stack against the stand-in on 127.0.0.1, and what of aiortc's insides the file leans on."""

from __future__ import annotations

import time

import pytest
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection

from calls_doctor.model.site import MediaAddress
from calls_doctor.net import aiortc_peer
from calls_doctor.net.paired import PairedHost
from calls_doctor.wire.framing import PacketKind
from tests.servers.media_host import media_host, paired, stranger
from tests.servers.middlebox import HOST, Middlebox, Way, drop


async def test_an_unmodified_stack_has_its_call_echoed_and_both_ends_count_the_same() -> None:
    async with media_host() as stand_in:
        counts = await aiortc_peer.call(paired(stand_in.ready), 0.5)
        session = stand_in.books().sessions[0]
    assert counts["connected"] and counts["state"] == "connected" and counts["connect_s"] < 3.0
    assert counts["sent"] == counts["received"] == counts["far_received"] == counts["far_sent"] > 20
    assert counts["frames"] > 10
    assert all(path.remote[0] == HOST for path in session.paths)


async def test_media_that_does_not_come_back_is_counted_by_both_ends() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        async with Middlebox((HOST, stand_in.ready.media_port), drop(Way.BACK, PacketKind.RTP)) as box:
            counts = await aiortc_peer.call(paired(stand_in.ready, box.port), 0.2)
    assert counts["connected"] and counts["received"] == 0
    assert counts["sent"] == counts["far_received"] == counts["far_sent"] > 5


async def test_our_deadline_holds_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiortc_peer, "CONNECT_S", 0.3)
    async with media_host() as stand_in:
        began_s = time.monotonic()
        counts = await aiortc_peer.call(stranger(stand_in.ready), 0.5)
    assert time.monotonic() - began_s < 3.0
    assert (counts["connected"], counts["sent"], counts["received"]) == (False, 0, 0)
    assert counts["far_received"] is None


async def test_a_name_without_an_address_is_no_crash() -> None:
    async with media_host() as stand_in:
        assert stand_in.ready is not None
        nobody = PairedHost(stand_in.ready.pairing, MediaAddress(host="nobody.invalid"))
        counts = await aiortc_peer.call(nobody, 0.1)
    assert not counts["connected"] and "nobody.invalid" in counts["state"]


async def test_the_one_private_thing_of_aiortc_that_is_used_is_there() -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTrack(AudioStreamTrack())
        (transceiver,) = peer.getTransceivers()
        aiortc_peer.use_only(transceiver.sender.transport, "127.0.0.1")
        await peer.setLocalDescription(await peer.createOffer())
        candidates = [line for line in peer.localDescription.sdp.splitlines() if line.startswith("a=candidate")]
        assert candidates and all(" 127.0.0.1 " in line for line in candidates)
    finally:
        await peer.close()
