# Invariant: whatever clients of rtcd's protocol send, in whatever order, nothing is raised, every description that goes
# out can be read again, no packet goes back to who sent it, and what has left is gone.

from __future__ import annotations

import json
import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from calls_doctor.errors import RtcdError, SdpError
from calls_doctor.sfu.rtcd_calls import Member, RtcdCalls
from calls_doctor.standin.offered import offered_at
from calls_doctor.wire import rtcd, rtcd_channel, sdp
from calls_doctor.wire.rtcd import Join, Leave, Message, Reconnect, Rtc
from calls_doctor.wire.rtcd_channel import Lock, Unlock
from calls_doctor.wire.rtcd_signal import Mute, ScreenOff, ScreenOn, Sender, SessionDescription, Signal, Unmute, VideoOn
from calls_doctor.wire.rtp import RtpPacket
from tests.servers.rtcd_offers import (
    AUDIO_OFFER,
    AUDIO_SSRC,
    CHANNEL_OFFER,
    SCREEN_OFFER,
    SCREEN_STREAM,
    VIDEO_SSRC,
    answer_to,
)

DATA = Path(__file__).parents[1] / "data" / "rtcd"
FRAMES = [
    bytes.fromhex(one["hex"])
    for name in ("ws-errors", "aiortc-screen")
    for one in map(json.loads, (DATA / f"{name}.jsonl").read_text().splitlines())
    if one["kind"] == "ws" and one["dir"] == "c2s"
]
SESSIONS = ["a", "b", "c"]
TEXTS = [CHANNEL_OFFER, AUDIO_OFFER, SCREEN_OFFER]
PACKETS = [
    bytes(RtpPacket(number, 1, 2, ssrc, b"payload"))
    for number, ssrc in ((111, AUDIO_SSRC), (96, VIDEO_SSRC), (96, 5), (45, 6))
]


class World:
    """Calls, and what came out of them."""

    def __init__(self) -> None:
        offered = offered_at(["10.0.0.1"], 8443, 0)
        self.calls = RtcdCalls(bytes(32), lambda: offered, random.Random(1).randbytes)
        self.last = ""
        """The server's last offer."""
        self.now = 0.0

    def message(self, message: Message) -> None:
        self.calls.receive("c", "client", message, self.now)
        self.drain()

    def members(self) -> list[Member]:
        return list(self.calls._members.values())

    def drain(self) -> None:
        for _, frame in self.calls.frames_to_send():
            assert rtcd.decode(rtcd.encode(frame, Sender.SERVER), Sender.SERVER) == frame
            if isinstance(frame, Rtc) and isinstance(frame.signal, SessionDescription):
                self.described(frame.signal)
        for _, one in self.calls.channel_to_send():
            assert rtcd_channel.decode(rtcd_channel.encode(one, Sender.SERVER), Sender.SERVER) == one
            if isinstance(one, SessionDescription):
                self.described(one)
        for member in self.calls.ended():
            assert member not in self.members() and self.calls.member_of(member.session.local.ufrag) is None

    def described(self, description: SessionDescription) -> None:
        sdp.parse(description.sdp)
        if description.type == "offer":
            self.last = description.sdp


def description_of(world: World, data: st.DataObject) -> SessionDescription:
    kind = data.draw(st.sampled_from(["offer", "answer"]))
    text = data.draw(st.sampled_from([*TEXTS, answer_to(world.last), ""]))
    if data.draw(st.booleans()) and text:
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.text(max_size=6)) + text[at + data.draw(st.integers(0, 40)) :]
    return SessionDescription("offer" if kind == "offer" else "answer", text)


def step(world: World, data: st.DataObject) -> None:
    session = data.draw(st.sampled_from(SESSIONS))
    which = data.draw(st.integers(0, 6))
    members = world.members()
    member = data.draw(st.sampled_from(members)) if members else None
    if which == 0 or member is None:
        world.message(Join("call", "user", session, data.draw(st.sampled_from(["", "x"])), data.draw(st.booleans())))
    elif which == 1:
        world.message(Rtc(session, description_of(world, data)))
    elif which == 2:
        signals: list[Signal] = [Mute(), Unmute(), ScreenOn(SCREEN_STREAM), ScreenOff(), VideoOn(SCREEN_STREAM)]
        world.message(Rtc(session, data.draw(st.sampled_from(signals))))
    elif which == 3:
        world.message(Leave(session) if data.draw(st.booleans()) else Reconnect(session))
    elif which == 4:
        world.calls.channel_opened(member, world.now)
        messages: list[rtcd_channel.Message] = [Lock(), Unlock(), description_of(world, data)]
        world.calls.receive_channel(member, messages[data.draw(st.integers(0, 2))], world.now)
    elif which == 5:
        packet = data.draw(st.sampled_from(PACKETS))
        assert member.id not in dict(world.calls.forward(member, packet, world.now))
        world.calls.key_frame_wanted(member, data.draw(st.integers(0, 0xFFFFFFFF)), world.now)
    else:
        world.now += data.draw(st.sampled_from([0.1, 5.0, 10.0]))
        world.calls.handle_timer(world.now)
    world.drain()


@settings(deadline=None)
@given(st.data())
def test_any_order_of_what_clients_do(data: st.DataObject) -> None:
    world = World()
    for _ in range(data.draw(st.integers(1, 25))):
        step(world, data)


@given(st.lists(st.one_of(st.sampled_from(FRAMES), st.binary(max_size=60)), max_size=12), st.data())
def test_any_frames(frames: list[bytes], data: st.DataObject) -> None:
    world = World()
    for frame in frames:
        changed = bytearray(frame)
        if frame and data.draw(st.booleans()):
            changed[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
        try:
            message = rtcd.decode(bytes(changed), Sender.CLIENT)
        except RtcdError:
            continue
        world.message(message)


@given(st.binary(min_size=12, max_size=60), st.integers(0, 15))
def test_any_packet(packet: bytes, first: int) -> None:
    world = World()
    world.message(Join("call", "user", "a"))
    for text in (CHANNEL_OFFER, AUDIO_OFFER, SCREEN_OFFER):
        world.message(Rtc("a", SessionDescription("offer", text)))
    world.calls.channel_opened(world.members()[0], 0.0)
    rtp = bytes((0x80 | first | packet[0] & 0x10,)) + packet[1:]
    assert list(world.calls.forward(world.members()[0], rtp, 0.0)) == []


@given(st.text(max_size=2000))
def test_no_description_is_answered_that_cannot_be_read(text: str) -> None:
    try:
        sdp.parse(text)
        return
    except SdpError:
        world = World()
        world.message(Join("call", "user", "a"))
        world.message(Rtc("a", SessionDescription("offer", text)))
        assert world.members() == []
