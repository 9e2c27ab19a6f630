"""docs/threat-model.md says the limits that the code has, and the figures that it measures here."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from calls_doctor.model.flow import Path as FiveTuple
from calls_doctor.model.flow import Transport
from calls_doctor.net import documents_client
from calls_doctor.sfu import mux, rtcd_calls, rtcd_tracks, session, sfu
from calls_doctor.standin import api_accounts, api_websocket, connection_limit, desk, server, serving, turn_server
from calls_doctor.wire import (
    dtls,
    envelope,
    held_answers,
    pages,
    path_books,
    rate_limit,
    rtcd,
    rtcd_server_session,
    stun,
    transactions,
)
from calls_doctor.wire.direct import compose
from calls_doctor.wire.dtls import Certificate, DtlsEndpoint, DtlsRole
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.stun_server import BindingResponder
from calls_doctor.wire.turn_auth import NONCE_KEY_BYTES, Authenticator
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_server import TurnServer
from tests.fuzz.test_sfu import CERTIFICATE, HERE, KEYS, STRANGER, Door

PAGE = (Path(__file__).parents[2] / "docs" / "threat-model.md").read_text()
LIMITS = dict(re.findall(r"^\| ([^|]+) \| ([\d.]+)[^|]* \|", PAGE, re.MULTILINE))
CALLER = FiveTuple(Transport.UDP, HERE, STRANGER)
KIB, MIB = 1 << 10, 1 << 20
DATAGRAM_BYTES = 1200
"""Of video; a sender keeps to it."""


def test_each_limit_of_the_page_is_the_codes() -> None:
    assert {name: float(value) for name, value in LIMITS.items()} == {
        "sessions at once": sfu.SESSIONS_MAX,
        "new sessions from one source address": rate_limit.ANSWERS_PER_S,
        "of them at once": rate_limit.ANSWERS_BURST,
        "paths of one session": path_books.PATHS_MAX,
        "echo and forwarding of one session": session.FORWARDED_BYTES_PER_S * 8 / 1e6,
        "a session that says nothing": 30.0,
        "answers held back in one session": held_answers.HELD_MAX,
        "size of each": held_answers.HELD_MAX_BYTES,
        "time for which each is held": held_answers.HOLD_MAX_S,
        "TCP connections on the media port": mux.CONNECTIONS_MAX,
        "of them without an admitted frame": mux.UNADMITTED_MAX,
        "of these from one source address": mux.UNADMITTED_PER_SOURCE_MAX,
        "time until the first admitted frame": mux.UNADMITTED_S,
        "connections on 8045 and 3478": connection_limit.CONNECTIONS_MAX,
        "of these from one address": connection_limit.CONNECTIONS_PER_SOURCE_MAX,
        "size of a WebSocket's message": rtcd.MESSAGE_MAX_BYTES / MIB,
        "messages of one WebSocket": api_websocket.MESSAGES_PER_S,
        "unread by one WebSocket": api_websocket.UNSENT_BYTES_MAX / MIB,
        "clients registered on 8045": api_accounts.REGISTERED_MAX,
        "sessions in calls of 8045": rtcd_calls.SESSIONS_MAX,
        "characters of a name in a join": rtcd_calls.ID_MAX_CHARS,
        "streams that one of them sends": rtcd_tracks.TRACKS_MAX,
        "packets kept of each stream of video": rtcd_tracks.RECENT_PACKETS,
        "time from a join to its offer": rtcd_server_session.SIGNALING_S,
        "time from an offer to its media": rtcd_server_session.CONNECTED_S,
        "TURN relays at once": server.ALLOCATIONS_MAX,
        "of one credential": Limits().allocations_per_user,
        "transaction ids kept against replay": transactions.TRANSACTIONS_MAX,
        "books of past sessions": sfu.BOOKS_MAX,
        "a report as it travels": pages.PAGES_MAX * pages.CHUNK_BYTES / 1e6,
        "a report unpacked": envelope.PLAIN_MAX_BYTES / MIB,
        "reports handed in at once": desk.UNFINISHED_MAX,
        "reports kept": serving.REPORTS_MAX,
        "DTLS flights to one session": round(1 / dtls.REPEAT_S),
    }
    assert documents_client.SILENCE_S <= 1.0
    kept = rtcd_tracks.RECENT_PACKETS * rtcd_tracks.TRACKS_MAX * rtcd_calls.SESSIONS_MAX
    assert kept * DATAGRAM_BYTES <= 150 * MIB


class Measured:
    """Bytes in and out of the media port, by what its own code does."""

    def __init__(self) -> None:
        self.check_bytes = self.answer_bytes = self.hello_bytes = self.flight_bytes = self.least_bytes = 0
        self.again: list[int] = []

    def at(self, door: Door) -> None:
        mine = Certificate.generate()
        fragment = str(compose(KEYS.run, "u", "mmmmmmmm", mine.fingerprint))
        check = Message(Method.BINDING, MessageClass.REQUEST, bytes(12), [
            (stun.USERNAME, f"{fragment}:near"), (stun.PRIORITY, 1), (stun.ICE_CONTROLLING, 1),
        ]).encode(KEYS.password(fragment).encode(), fingerprint=True)  # fmt: skip
        self.check_bytes, self.answer_bytes = len(check), self.drawn(door, check, 0.0)
        client = DtlsEndpoint(mine, DtlsRole.CLIENT, CERTIFICATE.fingerprint, own_timer=True)
        client.start(0.0)
        (hello,) = client.datagrams_to_send()
        self.hello_bytes, self.flight_bytes = len(hello), self.drawn(door, hello, 0.0)
        least = hello[:25]  # the headers of a record and of a message: what asks for the flight again
        self.least_bytes = len(least)
        for number in range(1, 40):  # 2 s of it, one datagram each 50 ms
            again = least[:5] + number.to_bytes(6, "big") + least[11:]
            self.again.append(self.drawn(door, again, number * 0.05))

    def drawn(self, door: Door, packet: bytes, now: float) -> int:
        door.sent.clear()
        door.sfu.receive(packet, CALLER, now)
        assert {path for path, _ in door.sent} <= {CALLER}
        return sum(len(data) for _, data in door.sent)


def measured() -> Measured:
    found = Measured()

    async def run() -> None:
        door = Door()
        try:
            found.at(door)
        finally:
            await door.sfu.close()

    asyncio.run(run())
    return found


def told(pattern: str) -> float:
    found = re.search(pattern, PAGE)
    assert found is not None, pattern
    return float(found[1])


def test_the_figures_of_the_page_are_what_the_code_does() -> None:
    found = measured()
    assert found.answer_bytes <= found.check_bytes
    flights = [size for size in found.again if size]
    assert set(flights) <= {found.flight_bytes}, "one datagram draws one flight at most"
    assert len(flights) <= 2.0 / dtls.REPEAT_S
    assert round(found.flight_bytes / found.hello_bytes, 1) == told(r"ClientHello of \d+ bytes draws .* ([\d.]+) times")
    assert round(found.flight_bytes / found.least_bytes) == told(r"at worst (\d+) times")
    assert abs(found.flight_bytes - told(r"a flight of about (\d+) bytes")) < 20
    kib_per_s = found.flight_bytes / dtls.REPEAT_S / KIB
    assert abs(kib_per_s - told(r"or ([\d.]+) KiB/s for each session")) < 0.2


def test_what_all_held_answers_take_is_said() -> None:
    most_bytes = sfu.SESSIONS_MAX * held_answers.HELD_MAX * held_answers.HELD_MAX_BYTES
    assert told(r"all of them (\d+) KiB") == most_bytes / KIB


def test_what_the_stun_responder_sends_for_the_least_request_is_said() -> None:
    request = Message(Method.BINDING, MessageClass.REQUEST, bytes(12)).encode()
    answer = BindingResponder("calls-doctor 0.1.0").answer(request, CALLER, 0.0)
    assert answer is not None
    assert round(len(answer) / len(request), 1) == told(r"a Binding request of 20 bytes draws ([\d.]+) times")


def test_what_the_turn_server_sends_for_the_least_request_without_credentials_is_said() -> None:
    authenticator = Authenticator(turn_server.REALM, lambda _name: None, bytes(NONCE_KEY_BYTES))
    core = TurnServer(authenticator, lambda _client, _even: None, lambda _ip: False, software="calls-doctor 0.1.0")
    request = Message(Method.ALLOCATE, MessageClass.REQUEST, bytes(12)).encode()
    core.receive(request, CALLER, 1e6)  # the nonce holds the time: after days it has a digit or two more
    ((_, answer),) = core.packets_to_send()
    assert round(len(answer) / len(request), 1) == told(r"Allocate of 20 bytes without credentials ([\d.]+) times")
