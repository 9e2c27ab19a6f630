"""A TURN server that says what a test has it say: no socket, a made-up clock, and every packet in sight."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from calls_doctor.model.credentials import Secret, TurnCredentials
from calls_doctor.model.flow import Address
from calls_doctor.wire import stun
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method
from calls_doctor.wire.turn import TurnClient
from calls_doctor.wire.turn_events import Event

RELAYED: Address = ("192.0.2.15", 50000)
MAPPED: Address = ("198.51.100.7", 4711)
USER, PASSWORD, REALM = "alice", "wonderland", "example.org"
KEY = stun.long_term_key(USER, REALM, PASSWORD)
NONCE = b"nonce-1"
CREDENTIALS = TurnCredentials(USER, Secret(PASSWORD))
ALLOCATED: stun.Attributes = (
    (stun.XOR_RELAYED_ADDRESS, RELAYED),
    (stun.XOR_MAPPED_ADDRESS, MAPPED),
    (stun.LIFETIME, 600),
    (stun.SOFTWARE, "script"),
)


class Script:
    """One TURN client and whoever writes its server's lines."""

    def __init__(self, credentials: TurnCredentials | None = CREDENTIALS, *, stream: bool = False) -> None:
        numbers = itertools.count(1)
        self.client = TurnClient(credentials, lambda size: next(numbers).to_bytes(size, "big"), stream=stream)
        self.now = 1000.0
        self.request = Message(0, MessageClass.REQUEST, bytes(12))
        """What the client asked last."""

    def sent(self) -> list[Message]:
        """What the client sends now; the last request is kept."""
        messages = [stun.parse(packet) for packet in self.client.packets_to_send()]
        self.request = next((one for one in reversed(messages) if one.message_class is MessageClass.REQUEST),
                            self.request)  # fmt: skip
        return messages

    def asks(self) -> Message:
        """The one request that the client sends now."""
        (request,) = self.sent()
        assert request.message_class is MessageClass.REQUEST
        return request

    def says(self, attributes: stun.Attributes = (), *, to: Message | None = None, key: bytes | None = KEY) -> None:
        """A success, signed unless `key` is None."""
        self.answer(MessageClass.SUCCESS, attributes, to=to, key=key)

    def refuses(self, code: int, attributes: stun.Attributes = (), *, key: bytes | None = None) -> None:
        """An error, unsigned unless there is a key."""
        self.answer(MessageClass.ERROR, [(stun.ERROR_CODE, ErrorCode(code, "because")), *attributes], key=key)

    def answer(
        self, kind: MessageClass, attributes: stun.Attributes, *, to: Message | None = None, key: bytes | None = None
    ) -> None:
        """An answer of this kind to a request, the last one by default."""
        request = to or self.request
        self.client.receive(Message(request.method, kind, request.transaction_id, attributes).encode(key), self.now)

    def challenges(self, nonce: bytes = NONCE) -> None:
        """401 with realm and nonce."""
        self.refuses(401, [(stun.REALM, REALM), (stun.NONCE, nonce), (stun.SOFTWARE, "script")])

    def later(self, seconds: float) -> None:
        """Time passes, and the client's timer is called."""
        self.now += seconds
        self.client.handle_timer(self.now)

    def events(self) -> list[Event]:
        """What happened."""
        return self.client.events()

    def allocated(self, attributes: stun.Attributes = ALLOCATED) -> None:
        """The whole way to an allocation; its events and packets are taken."""
        self.client.start_allocate(self.now)
        assert self.asks().method == Method.ALLOCATE
        self.challenges()
        assert self.asks().method == Method.ALLOCATE
        self.says(attributes)
        assert self.client.relayed == RELAYED
        self.events()

    def permitted(self, ips: Sequence[str]) -> None:
        """A permission for these."""
        self.client.create_permission(ips, self.now)
        assert self.asks().method == Method.CREATE_PERMISSION
        self.says()
        self.events()

    def bound(self, peer: Address) -> int:
        """A channel to the peer; gives its number."""
        number = self.client.bind_channel(peer, self.now)
        assert self.asks().method == Method.CHANNEL_BIND
        self.says()
        self.events()
        return number
