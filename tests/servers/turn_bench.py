"""A TURN server's core on a bench: no socket, a made-up clock, and every packet in sight."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from calls_doctor.model.credentials import Secret
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import stun
from calls_doctor.wire.rate_limit import RateLimit
from calls_doctor.wire.stun import Message, MessageClass, Method
from calls_doctor.wire.turn import TRANSPORT_UDP
from calls_doctor.wire.turn_auth import Authenticator
from calls_doctor.wire.turn_requests import Limits
from calls_doctor.wire.turn_server import TurnServer

SERVER: Address = ("192.0.2.1", 3478)
PEER: Address = ("198.51.100.9", 8443)
REALM = "bench"
USERS = {"user": Secret("password"), "other": Secret("secret")}
ALLOCATE: stun.Attributes = ((stun.REQUESTED_TRANSPORT, TRANSPORT_UDP),)


def client(port: int = 40000, transport: Transport = Transport.UDP, server: Address = SERVER) -> Path:
    """The 5-tuple of a client."""
    host = "203.0.113.5" if "." in server[0] else "2001:db8::5"
    return Path(transport, server, (host, port))


class Bench:
    """A server with users `user` (password `password`) and `other` (`secret`)."""

    def __init__(
        self,
        *,
        ports: int = 1000,
        may_relay: Callable[[str], bool] = lambda _ip: True,
        may_reach: Callable[[Address], bool] = lambda _peer: True,
        limits: Limits | None = None,
        answers: RateLimit | None = None,
    ) -> None:
        self.now = 5000.0
        self._ports = iter(range(50000, 50000 + ports))
        self._transaction_ids = itertools.count(1)
        authenticator = Authenticator(REALM, USERS.get, bytes(16), nonce_lifetime_s=3600)
        self.server = TurnServer(
            authenticator, self._allot, may_relay, may_reach=may_reach, software="bench", limits=limits,
            answers=answers or RateLimit(1e6, 1e6),
        )  # fmt: skip

    def send(self, packet: bytes, path: Path) -> list[bytes]:
        """What the server sends back to this client."""
        self.server.receive(packet, path, self.now)
        return [said for to, said in self.server.packets_to_send() if to == path]

    def ask(
        self,
        method: int,
        attributes: stun.Attributes = (),
        *,
        path: Path | None = None,
        login: tuple[str, str] = ("user", "password"),
        nonce: bytes | None = None,
        transaction_id: bytes | None = None,
    ) -> Message:
        """The answer to a request with credentials; the nonce is asked for first."""
        path = path or client()
        transaction_id = transaction_id or self.transaction_id()
        packet = self.signed(method, attributes, login, nonce or self.nonce(path), transaction_id)
        (said,) = self.send(packet, path)
        answer = stun.parse(said)
        assert (answer.method, answer.transaction_id) == (method, transaction_id)
        return answer

    def refused(self, method: int, attributes: stun.Attributes = (), **how: object) -> int:
        """The code of the refusal to a request with credentials."""
        answer = self.ask(method, attributes, **how)  # type: ignore[arg-type]  # as `ask` takes them
        assert answer.message_class is MessageClass.ERROR, answer
        error = answer.get(stun.ERROR_CODE)
        assert error is not None
        return error.code

    def allocated(self, path: Path | None = None, login: tuple[str, str] = ("user", "password")) -> Address:
        """The relayed address of a new allocation."""
        answer = self.ask(Method.ALLOCATE, ALLOCATE, path=path, login=login)
        relayed = answer.get(stun.XOR_RELAYED_ADDRESS)
        assert answer.message_class is MessageClass.SUCCESS and relayed is not None, answer
        return relayed

    def nonce(self, path: Path) -> bytes:
        """What a request without credentials is told."""
        (said,) = self.send(
            Message(Method.ALLOCATE, MessageClass.REQUEST, self.transaction_id(), ALLOCATE).encode(), path
        )
        nonce = stun.parse(said).get(stun.NONCE)
        assert nonce is not None
        return nonce

    def signed(
        self, method: int, attributes: stun.Attributes, login: tuple[str, str], nonce: bytes, transaction_id: bytes
    ) -> bytes:
        """A request with long-term credentials."""
        credentials: stun.Attributes = [(stun.USERNAME, login[0]), (stun.REALM, REALM), (stun.NONCE, nonce)]
        request = Message(method, MessageClass.REQUEST, transaction_id, [*attributes, *credentials])
        return request.encode(stun.long_term_key(login[0], REALM, login[1]))

    def transaction_id(self) -> bytes:
        """Another one each time."""
        return next(self._transaction_ids).to_bytes(12, "big")

    def _allot(self, path: Path, even: bool) -> Address | None:
        port = next((port for port in self._ports if not (even and port % 2)), None)
        return None if port is None else (path.local[0], port)
