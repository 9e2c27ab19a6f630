"""Who hears what in a call, by messages and packets alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from calls_doctor.sfu.rtcd_calls import ID_MAX_CHARS, KEY_FRAME_S, SESSIONS_MAX, Member, Offered, RtcdCalls
from calls_doctor.sfu.rtcd_tracks import RECENT_PACKETS, TRACKS_MAX
from calls_doctor.wire.rtcd import Close, Hello, Join, Leave, Message, Reconnect, Rtc
from calls_doctor.wire.rtcd_channel import Lock, LockReply
from calls_doctor.wire.rtcd_sdp import host_candidate
from calls_doctor.wire.rtcd_server_session import SIGNALING_S
from calls_doctor.wire.rtcd_signal import (
    Mute,
    ScreenOff,
    ScreenOn,
    SessionDescription,
    Signal,
    Unmute,
    VideoOff,
    VideoOn,
)
from calls_doctor.wire.rtp import RtpPacket, parse_rtp
from tests.servers.rtcd_offers import (
    AUDIO_OFFER,
    AUDIO_SSRC,
    CHANNEL_OFFER,
    SCREEN_OFFER,
    SCREEN_STREAM,
    VIDEO_SSRC,
    answer_to,
)

HERE = Offered((host_candidate("udp", "10.0.0.1", 8443),), (host_candidate("udp", "10.0.0.1", 8443),))


@dataclass
class World:
    """A stand-in's calls, and clients that answer every offer at once."""

    offered: Offered = HERE
    calls: RtcdCalls = field(init=False)
    said: list[tuple[str, Message]] = field(default_factory=list)
    offers: dict[str, list[str]] = field(default_factory=dict)
    """By session."""
    now: float = 1.0

    def __post_init__(self) -> None:
        self.calls = RtcdCalls(bytes(32), lambda: self.offered, random.Random(1).randbytes)

    def tell(self, message: Message, *, conn: str = "c1", group: str = "client") -> None:
        self.calls.receive(conn, group, message, self.now)
        self.settle(group)

    def signal(self, session: str, signal: Signal) -> None:
        self.tell(Rtc(session, signal))

    def settle(self, group: str = "client") -> None:
        while frames := self.calls.frames_to_send():
            self.said += frames
            for _, frame in frames:
                if (
                    isinstance(frame, Rtc)
                    and isinstance(frame.signal, SessionDescription)
                    and frame.signal.type == "offer"
                ):
                    self.offers.setdefault(frame.session_id, []).append(frame.signal.sdp)
                    answer = SessionDescription("answer", answer_to(frame.signal.sdp))
                    self.calls.receive("c1", group, Rtc(frame.session_id, answer), self.now)

    def member(self, session: str, group: str = "client") -> Member:
        found = [one for one in self.calls._members.values() if (one.id, one.group) == (session, group)]
        return found[0]

    def joins(self, *sessions: str, group: str = "client", av1: bool = False) -> None:
        for session in sessions:
            self.tell(Join("call", "user", session, av1_support=av1), group=group)
            self.tell(Rtc(session, SessionDescription("offer", CHANNEL_OFFER)), group=group)
            self.calls.channel_opened(self.member(session, group), self.now)
            self.settle(group)

    def publishes(self, session: str, offer: str = AUDIO_OFFER, group: str = "client") -> None:
        self.tell(Rtc(session, SessionDescription("offer", offer)), group=group)

    def sends(
        self, session: str, ssrc: int = AUDIO_SSRC, number: int = 111, group: str = "client", sequence: int = 1
    ) -> dict[str, bytes]:
        """One packet; who gets it."""
        packet = bytes(RtpPacket(number, sequence, 2, ssrc, b"payload"))
        got = dict(self.calls.forward(self.member(session, group), packet, self.now))
        self.settle(group)
        return got

    def closes(self) -> list[tuple[str, str]]:
        return [(conn, one.session_id) for conn, one in self.said if isinstance(one, Close)]


def sharing() -> World:
    """A call of three, in which `a` talks and shares its screen."""
    world = World()
    world.joins("a", "b", "c")
    world.signal("a", ScreenOn(SCREEN_STREAM))
    world.publishes("a")
    world.publishes("a", SCREEN_OFFER.replace(f"a=msid:{SCREEN_STREAM}", "a=msid:voice", 1))
    for ssrc, number in ((AUDIO_SSRC, 111), (VIDEO_SSRC, 96)):
        world.sends("a", ssrc, number)
    return world


def test_a_track_is_offered_with_its_first_packet_and_goes_to_all_others_from_then_on() -> None:
    world = World()
    world.joins("a", "b", "c")
    world.publishes("a")
    assert world.offers == {}
    assert world.sends("a") == {} and sorted(world.offers) == ["b", "c"]
    got = world.sends("a")
    assert sorted(got) == ["b", "c"]
    packets = {to: parse_rtp(packet) for to, packet in got.items()}
    assert {(one.payload_type, one.sequence, one.timestamp, one.payload) for one in packets.values()} == {
        (111, 1, 2, b"payload")
    }
    for to, packet in packets.items():
        assert f"a=ssrc:{packet.ssrc} msid:a voice_a_" in world.offers[to][0]
    assert len({packet.ssrc for packet in packets.values()} | {AUDIO_SSRC}) == 3


def test_who_comes_later_is_offered_what_is_sent_already() -> None:
    world = World()
    world.joins("a")
    world.publishes("a")
    world.sends("a")
    world.joins("b")
    assert len(world.offers["b"]) == 1 and sorted(world.sends("a")) == ["b"]


def test_an_own_payload_type_of_each_receiver_is_kept_to() -> None:
    world = World()
    world.joins("a", "b")
    world.publishes("b", AUDIO_OFFER.replace("SAVPF 111", "SAVPF 96").replace("rtpmap:111", "rtpmap:96"))
    world.publishes("a")
    world.sends("a")
    assert parse_rtp(world.sends("a")["b"]).payload_type == 96


def test_mute_stops_the_voice_and_unmute_lets_it_go_on() -> None:
    world = World()
    world.joins("a", "b")
    world.signal("a", Mute())
    world.publishes("a")
    world.sends("a")
    assert world.sends("a") != {}, "before there is a track it is ignored"
    world.signal("a", Mute())
    assert world.sends("a") == {}
    world.signal("a", Unmute())
    assert world.sends("a") != {}


def test_a_screen_is_offered_as_one_and_taken_back_from_all() -> None:
    world = sharing()
    assert [("screen_a_" in text, "voice_a_" in text) for text in world.offers["b"]] == [(False, True), (True, True)]
    assert sorted(world.sends("a", VIDEO_SSRC, 96)) == ["b", "c"]
    world.signal("a", ScreenOff())
    assert [len(texts) for texts in world.offers.values()] == [3, 3]
    assert "screen_a_" not in world.offers["c"][-1] and world.offers["c"][-1].endswith("a=recvonly\r\n")
    assert world.sends("a", VIDEO_SSRC, 96) == {} and sorted(world.sends("a")) == ["b", "c"]


def test_one_screen_is_shared_at_a_time_and_only_its_sharer_ends_it() -> None:
    world = sharing()
    world.signal("b", ScreenOff())
    world.signal("b", ScreenOn("another"))
    assert sorted(world.sends("a", VIDEO_SSRC, 96)) == ["b", "c"]
    world.publishes("b", SCREEN_OFFER.replace(SCREEN_STREAM, "another"))
    world.sends("b", VIDEO_SSRC, 96)
    assert world.sends("b", VIDEO_SSRC, 96) == {}


@pytest.mark.parametrize(("before", "goes"), [(VideoOn(SCREEN_STREAM), True), (VideoOn("x"), False), (None, False)])
def test_a_camera_is_named_before_its_first_packet(before: Signal | None, goes: bool) -> None:
    world = World()
    world.joins("a", "b")
    if before:
        world.signal("a", before)
    world.publishes("a")
    world.publishes("a", SCREEN_OFFER)
    world.sends("a", VIDEO_SSRC, 96)
    world.signal("a", VideoOn(SCREEN_STREAM))
    world.signal("a", VideoOff())
    assert (world.sends("a", VIDEO_SSRC, 96) != {}) is goes, "rtcd drops it for good"
    assert any("video_a_" in text for text in world.offers.get("b", [])) is goes


def test_a_stream_that_the_publisher_ends_ends_its_track() -> None:
    world = sharing()
    ended = SCREEN_OFFER.split("m=video")
    world.publishes("a", ended[0] + "m=video" + ended[1].replace("a=sendrecv", "a=inactive"))
    assert world.sends("a", VIDEO_SSRC, 96) == {} and len(world.member("a").tracks) == 1


def test_who_leaves_is_closed_and_takes_its_video_along() -> None:
    world = sharing()
    ufrag = world.member("a").session.local.ufrag
    member = world.calls.member_of(ufrag)
    world.tell(Leave("a"))
    assert world.closes() == [("c1", "a")] and world.calls.ended() == [member] and world.calls.member_of(ufrag) is None
    assert [len(texts) for texts in world.offers.values()] == [3, 3], "the voice ceases without a word"
    assert "voice_a_" in world.offers["b"][-1] and "screen_a_" not in world.offers["b"][-1]
    world.signal("b", ScreenOn("mine"))
    assert world.calls._calls["client", "call"].screen is world.member("b")


def test_who_is_gone_hears_nothing_and_a_call_without_anybody_is_none() -> None:
    world = World()
    world.joins("a", "b")
    world.publishes("a")
    world.sends("a")
    world.calls.media_ended(world.member("b"), world.now)
    world.settle()
    assert world.sends("a") == {} and world.closes() == [("c1", "b")]
    world.tell(Leave("a"))
    assert world.calls.joined("client") == {}


def test_joins_that_are_wrong_are_met_with_silence() -> None:
    world = World()
    world.tell(Join("call", "user", "a"))
    world.tell(Join("call", "other", "a"))
    world.tell(Join("call", "user", "x" * (ID_MAX_CHARS + 1)))
    world.tell(Hello("client", "conn"))
    world.offered = Offered((), ())
    world.tell(Join("call", "user", "b"))
    assert world.said == []
    assert {name: join.user_id for name, join in world.calls.joined("client")["call"].items()} == {"a": "user"}


def test_a_join_without_an_offer_is_closed_after_its_time() -> None:
    world = World()
    world.tell(Join("call", "user", "a"))
    assert world.calls.next_timer() == world.now + SIGNALING_S
    world.calls.handle_timer(world.now + SIGNALING_S)
    world.settle()
    assert world.closes() == [("c1", "a")] and world.calls.next_timer() is None


def test_a_first_offer_that_is_none_closes_at_once() -> None:
    world = World()
    world.tell(Join("call", "user", "a"))
    world.signal("a", SessionDescription("offer", "garbage"))
    assert world.closes() == [("c1", "a")]


def test_signals_follow_a_reconnect_and_close_does_not() -> None:
    world = World()
    world.joins("a")
    world.tell(Reconnect("a"), conn="c2")
    world.publishes("a")
    assert world.said[-1][0] == "c2"
    world.tell(Leave("a"), conn="c2")
    assert world.closes() == [("c1", "a")]


def test_clients_of_two_ids_never_meet() -> None:
    world = World()
    world.joins("a")
    world.joins("a", "b", group="another")
    world.publishes("a")
    world.sends("a")
    assert world.offers == {} and sorted(world.calls.joined("another")["call"]) == ["a", "b"]
    world.tell(Leave("b"), group="client")
    world.tell(Rtc("b", Mute()), group="client")
    assert world.closes() == []


def test_a_key_frame_is_asked_of_the_publisher_once_in_a_while() -> None:
    world = sharing()
    ssrc = parse_rtp(world.sends("a", VIDEO_SSRC, 96)["b"]).ssrc
    ask = world.calls.key_frame_wanted
    assert ask(world.member("b"), ssrc, 5.0) == ("a", VIDEO_SSRC)
    assert ask(world.member("b"), ssrc, 5.1) is None and ask(world.member("b"), 1, 9.0) is None
    assert ask(world.member("b"), ssrc, 5.0 + KEY_FRAME_S) == ("a", VIDEO_SSRC)


@pytest.mark.parametrize(("publisher", "receiver", "gets"), [
    (True, True, ["AV1"]), (True, False, ["VP8"]), (False, False, ["VP8"]), (False, True, ["VP8"]),
])  # fmt: skip
def test_av1_goes_to_who_takes_it_and_vp8_to_the_others(publisher: bool, receiver: bool, gets: list[str]) -> None:
    world = World()
    world.joins("a", av1=publisher)
    world.signal("a", ScreenOn(SCREEN_STREAM))
    world.publishes("a")
    both = SCREEN_OFFER
    if publisher:
        video = "m=video" + SCREEN_OFFER.split("m=video")[1]
        av1 = video.replace("SAVPF 96", "SAVPF 45").replace("rtpmap:96 VP8", "rtpmap:45 AV1").replace("mid:2", "mid:3")
        both = (SCREEN_OFFER + av1.replace(str(VIDEO_SSRC), "77")).replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3")
    world.publishes("a", both)
    for ssrc, number in ((77, 45), (VIDEO_SSRC, 96))[not publisher :]:
        world.sends("a", ssrc, number)
    world.joins("b", av1=receiver)
    got = [name for ssrc, number, name in ((77, 45, "AV1"), (VIDEO_SSRC, 96, "VP8"))
           if (publisher or number == 96) and world.sends("a", ssrc, number)]  # fmt: skip
    assert got == gets


def test_there_is_an_end_of_sessions_and_of_tracks() -> None:
    world = World()
    world.joins("a")
    world.publishes("a")
    for ssrc in range(1, TRACKS_MAX + 5):
        world.sends("a", ssrc)
    assert len(world.member("a").tracks) == TRACKS_MAX
    for number in range(SESSIONS_MAX + 5):
        world.tell(Join("other", "user", f"s{number}"))
    assert len(world.calls._members) == SESSIONS_MAX


def test_what_a_data_channel_brings_is_answered_on_it() -> None:
    world = World()
    world.joins("a", "b")
    world.calls.channel_to_send()
    world.calls.receive_channel(world.member("a"), Lock(), world.now)
    assert world.calls.channel_to_send() == [(world.member("a"), LockReply(True))]
    world.calls.receive_channel(world.member("a"), SessionDescription("offer", AUDIO_OFFER), world.now)
    ((_, answer),) = world.calls.channel_to_send()
    assert isinstance(answer, SessionDescription) and world.sends("a") == {} and "b" in world.offers


def test_nothing_that_comes_after_the_end_is_heeded() -> None:
    world = World()
    world.joins("a")
    member = world.member("a")
    world.tell(Leave("a"))
    world.calls.channel_opened(member, world.now)
    world.calls.receive_channel(member, SessionDescription("offer", AUDIO_OFFER), world.now)
    world.calls.media_ended(member, world.now)
    assert list(world.calls.forward(member, bytes(RtpPacket(111, 1, 2, AUDIO_SSRC, b"")), world.now)) == []
    assert world.calls.key_frame_wanted(member, 1, world.now) is None
    world.settle()
    assert world.closes() == [("c1", "a")]


def test_a_session_goes_on_under_another_name_where_its_client_begins_ice_anew() -> None:
    world = World()
    world.joins("a")
    member, before = world.member("a"), world.member("a").ufrag
    world.publishes("a", AUDIO_OFFER.replace("a=ice-ufrag:", "a=ice-ufrag:anew"))
    assert world.calls.restarted() == [member] and world.calls.restarted() == []
    assert member.ufrag != before and world.calls.member_of(member.ufrag) is member
    assert world.calls.member_of(before) is None
    world.tell(Leave("a"))
    assert world.calls.member_of(member.ufrag) is None


def test_video_that_a_receiver_lacks_comes_again_as_it_came() -> None:
    world = sharing()
    sent = [world.sends("a", VIDEO_SSRC, 96, sequence=number % 0x10000)["b"] for number in range(65500, 65900)]
    ssrc = parse_rtp(sent[0]).ssrc
    b, c = world.member("b"), world.member("c")
    lost = [parse_rtp(one).sequence for one in (sent[-RECENT_PACKETS], sent[-1])]
    assert world.calls.again(b, ssrc, lost) == [sent[-RECENT_PACKETS], sent[-1]]
    assert world.calls.again(b, ssrc, [65500, 9]) == [], "older ones are there no more"
    assert world.calls.again(c, ssrc, lost) == [] and world.calls.again(b, 1, lost) == []
    voice = parse_rtp(world.sends("a")["b"])
    assert world.calls.again(b, voice.ssrc, [voice.sequence]) == []


def test_of_a_section_of_video_one_stream_goes_on_until_the_client_names_another() -> None:
    world = sharing()
    assert world.sends("a", 77, 96) == {} and world.sends("a", 77, 96) == {}
    world.publishes(
        "a", SCREEN_OFFER.replace(str(VIDEO_SSRC), "77").replace(f"a=msid:{SCREEN_STREAM}", "a=msid:voice", 1)
    )
    world.sends("a", 77, 96)
    assert sorted(world.sends("a", 77, 96)) == ["b", "c"] and world.sends("a", VIDEO_SSRC, 96) == {}
