"""Who hears whom, between real sessions without a socket."""

from __future__ import annotations

from random import Random

import pytest

from calls_doctor.model.flow import Path, Transport
from calls_doctor.sfu.forwarder import Forwarder
from calls_doctor.sfu.session import FORWARDED_BURST_BYTES, Grant, Session
from calls_doctor.wire.connection import Connection, SessionSettings
from calls_doctor.wire.dtls import Certificate, DtlsRole
from calls_doctor.wire.ice import IceRole
from calls_doctor.wire.rtp import RtpPacket, parse_rtp
from calls_doctor.wire.transactions import Transactions
from tests.servers.empty_desk import EmptyDesk

SERVER, CLIENT = Certificate.generate(), Certificate.generate()
PASSWORD = "p" * 24


def packet(sequence: int = 1, payload: bytes = b"speech") -> bytes:
    return bytes(RtpPacket(96, sequence, 960, 5, payload, marker=True))


class Participant:
    """A client and its session at the SFU, joined by a wire that loses nothing."""

    def __init__(self, name: str, call: str | None, publishes_as: int, payload_type: int = 111) -> None:
        random = Random(name).randbytes
        grant = Grant(
            session=name, password=PASSWORD, peer_fingerprint=CLIENT.fingerprint, call=call,
            publishes_as=publishes_as, leg="U", payload_type=payload_type,
        )  # fmt: skip
        self.session = Session(
            grant, (name, "near"), SERVER, random, EmptyDesk(), Transactions(), 0.0, consent_expiry_s=30.0
        )
        settings = SessionSettings(
            session=name, ice_role=IceRole.CONTROLLING, dtls_role=DtlsRole.CLIENT, certificate=CLIENT,
            remote_fingerprint=SERVER.fingerprint, local_fragment="near", local_password="n" * 24,
            remote_fragment=name, remote_password=PASSWORD, ssrc=5,
        )  # fmt: skip
        self.client = Connection(settings, random, 0.0)
        near, far = ("192.0.2.1", len(name)), ("198.51.100.1", 8443)
        self.there, self.back = Path(Transport.UDP, near, far), Path(Transport.UDP, far, near)
        self.client.add_path(self.there, 0.0)
        for _ in range(6):
            for _, data in self.client.datagrams_to_send(0.0):
                self.session.connection.receive(data, self.back, 0.0)
            for _, data in self.session.connection.datagrams_to_send(0.0):
                self.client.receive(data, self.there, 0.0)
        assert self.client.connected and self.session.connection.connected

    def hears(self, data: bytes) -> RtpPacket:
        plain = self.client.receive_rtp(data, self.there, 0.0)
        assert plain is not None
        return parse_rtp(plain)


def test_an_echo_comes_back_by_the_way_it_came_under_the_announced_ssrc() -> None:
    alone = Participant("alone", None, 0xEC40)
    ((path, data),) = Forwarder().forward(packet(), alone.session, alone.back, 0.0)
    assert path == alone.back
    assert alone.hears(data) == RtpPacket(96, 1, 960, 0xEC40, b"speech", True)


def test_all_others_of_the_call_hear_it_and_nobody_else() -> None:
    forwarder = Forwarder()
    one, two, three = (
        Participant("one1", "call", 11),
        Participant("two22", "call", 22, 96),
        Participant("three3", "call", 33),
    )
    elsewhere = Participant("elsewhere", "other", 44)
    for who in (one, two, three, elsewhere):
        forwarder.join(who.session)
    sent = dict(forwarder.forward(packet(), one.session, one.back, 0.0))
    assert set(sent) == {two.back, three.back}
    assert two.hears(sent[two.back]) == RtpPacket(96, 1, 960, 11, b"speech", True)
    assert three.hears(sent[three.back]) == RtpPacket(111, 1, 960, 11, b"speech", True)
    forwarder.leave(three.session)
    assert [path for path, _ in forwarder.forward(packet(2), one.session, one.back, 0.0)] == [two.back]
    for who in (one, two, elsewhere, elsewhere):
        forwarder.leave(who.session)
    assert list(forwarder.forward(packet(3), one.session, one.back, 0.0)) == []
    assert forwarder._calls == {}


def test_who_sends_under_a_payload_type_hears_others_under_it() -> None:
    forwarder = Forwarder()
    one, two = Participant("one1", "call", 11), Participant("two22", "call", 22)
    for who in (one, two):
        forwarder.join(who.session)
    ((path, data),) = forwarder.forward(packet(), one.session, one.back, 0.0)
    assert path == two.back and two.hears(data).payload_type == 111, "nothing is known of it yet"
    ((path, data),) = forwarder.forward(packet(), two.session, two.back, 0.0)
    assert path == one.back and one.hears(data).payload_type == 96


@pytest.mark.parametrize("call", [None, "call"])
def test_a_second_stream_is_not_forwarded_under_the_ssrc_of_the_first(call: str | None) -> None:
    forwarder = Forwarder()
    one, two = Participant("one1", call, 11), Participant("two22", call, 22)
    for who in (one, two):
        forwarder.join(who.session)
    other = bytes(RtpPacket(96, 1, 960, 6, b"screen"))
    assert len(list(forwarder.forward(packet(), one.session, one.back, 0.0))) == 1
    assert list(forwarder.forward(other, one.session, one.back, 0.0)) == []
    assert len(list(forwarder.forward(packet(2), one.session, one.back, 0.0))) == 1


@pytest.mark.parametrize("call", [None, "call"])
def test_what_is_forwarded_of_one_session_is_limited_in_bytes_a_second(call: str | None) -> None:
    one, two, forwarder = Participant("one1", call, 11), Participant("two22", call, 22), Forwarder()
    for who in (one, two):
        forwarder.join(who.session)
    large = packet(1, bytes(1188))

    def echoed(packets: int, now: float) -> int:
        return sum(len(list(forwarder.forward(large, one.session, one.back, now))) for _ in range(packets))

    full = FORWARDED_BURST_BYTES // len(large)
    assert echoed(2 * full, 0.0) == full
    assert one.session.connection.books.over_limit == full
    assert 15 <= echoed(100, 0.1) <= 25
