"""What can go wrong, by who was wrong; every error of ours is one of these.

    CallsDoctorError
    ├── UsageError            the person at the keyboard: an option, a file, an address; exit code 2
    ├── ProtocolError         bytes that break a protocol, wherever they came from
    │   ├── StunError         RFC 8489, RFC 8656
    │   ├── FramingError      RFC 4571
    │   ├── RtpError          RFC 3550
    │   ├── SdpError          RFC 8866
    │   ├── DtlsError         RFC 6347, RFC 5764
    │   ├── RtcdError         rtcd's messages, on its WebSocket and its data channel
    │   ├── BooksError        the books as they travel
    │   ├── SealError         a sealed message that was not sealed so
    │   ├── TlsError          RFC 8446: no handshake, or a certificate that cannot be trusted
    │   └── HttpError         RFC 9112, RFC 6455
    ├── FarEndError           the far end answered, and the answer is a refusal (TURN error codes, HTTP status)
    └── NetworkError          the network between
        ├── Silence           nothing came back before the deadline
        ├── Refused           a port that is closed: RST, or ICMP port unreachable
        │   └── RefusedOnTheWay  said by another host than was asked
        ├── Unreachable       another ICMP error
        ├── NotSent           this machine itself did not send it: a limit, an address that it lacks
        │   ├── NoRoute       its routing table has no way there
        │   └── Forbidden     its own firewall forbids it
        ├── Unresolved        a name for which no address was found: nothing was sent to anybody
        └── Cut               a connection that was there ended early

Network trouble is a finding, never a crash: checks catch the last two branches. An error carries facts and derives
its sentence from them.
"""

from __future__ import annotations

from typing import NamedTuple


def reason_of(error: Exception, otherwise: str) -> str:
    """The system's own word for what went wrong with a file or a name; `otherwise` where it has none."""
    return error.strerror if isinstance(error, OSError) and error.strerror else otherwise


class CallsDoctorError(Exception):
    """The root: `except CallsDoctorError` catches what this program raises on purpose, and nothing else."""


class UsageError(CallsDoctorError):
    """One sentence that names the option, file or line, and what would be right."""


class ProtocolError(CallsDoctorError):
    """Bytes that break a protocol."""


class StunError(ProtocolError):
    """A STUN or TURN message that cannot be read."""


class FramingError(ProtocolError):
    """A stream that does not keep to its framing."""


class RtpError(ProtocolError):
    """An RTP or RTCP packet that cannot be read."""


class SdpError(ProtocolError):
    """A session description that lacks or garbles what a call needs."""


class DtlsError(ProtocolError):
    """A DTLS handshake or record that cannot go on; the sentence says which step and why."""


class RtcdError(ProtocolError):
    """A message of rtcd's WebSocket or data channel that cannot be read; the sentence says what is wrong with it."""


class BooksError(ProtocolError):
    """Books or their pages that cannot be read."""


class SealError(ProtocolError):
    """A sealed message that was altered, or sealed for something else."""


class TlsError(ProtocolError):
    """A TLS handshake that fails, or a certificate that cannot be trusted; the sentence says why.

    `fault` is a TlsFault where the certificate is to blame, "" otherwise.
    """

    def __init__(self, sentence: str, fault: str = "") -> None:
        self.sentence, self.fault = sentence, fault
        super().__init__(sentence, fault)

    def __str__(self) -> str:
        return self.sentence


class HttpError(ProtocolError):
    """An HTTP or WebSocket exchange that cannot be read: what answered is not what was asked."""


class FarEndError(CallsDoctorError):
    """The far end answered with a refusal."""

    def __init__(self, what: str, code: int, reason: str = "") -> None:
        self.what, self.code, self.reason = what, code, reason
        super().__init__(what, code, reason)

    def __str__(self) -> str:
        return f"{self.what} was refused with {self.code}{f' ({self.reason})' if self.reason else ''}"


class Icmp(NamedTuple):
    """An ICMP error as it came (RFC 792, RFC 4443)."""

    version: int
    """4 or 6: whose types these are."""
    type: int
    code: int
    sender: str
    """The address of the host, router or firewall that sent it; "" where the system does not say."""

    def __str__(self) -> str:
        name = "ICMPv6" if self.version == 6 else "ICMP"
        return f"{name} {self.type}/{self.code}{f' from {self.sender}' if self.sender else ''}"


class NetworkError(CallsDoctorError):
    """The network between did not carry what was sent. `icmp` is the error that said so, where one did."""

    def __init__(self, what: str, after_s: float = 0.0, detail: str = "", icmp: Icmp | None = None) -> None:
        self.what, self.after_s, self.detail, self.icmp = what, after_s, detail, icmp
        super().__init__(what, after_s, detail, icmp)

    verb = "failed"

    def __str__(self) -> str:
        return f"{self.what} {self.verb}{f' ({self.detail})' if self.detail else ''}"


class Silence(NetworkError):
    """Nothing came back before the deadline."""

    def __str__(self) -> str:
        return f"{self.what}: nothing came back in {self.after_s:.2g} s{f' ({self.detail})' if self.detail else ''}"


class Refused(NetworkError):
    """The port is closed: a TCP reset, or ICMP port unreachable."""

    verb = "was refused"


class RefusedOnTheWay(Refused):
    """ICMP port unreachable of another host than was asked: whoever was asked may never have heard of it."""


class Unreachable(NetworkError):
    """An ICMP error other than port unreachable, or what else the system says."""

    verb = "is unreachable"


class NotSent(NetworkError):
    """This machine itself kept it from leaving: nobody else's firewall is in question. `detail` names the errno."""

    verb = "could not be sent from this machine"


class NoRoute(NotSent):
    """This machine's own routing table leads nowhere; `detail` is the address."""

    def __str__(self) -> str:
        return f"this machine has no route to {self.detail}"


class Forbidden(NotSent):
    """A packet filter on this very machine drops what leaves it (EPERM), or rejects it with an ICMP error."""

    verb = "is forbidden by this machine's own firewall"


class Unresolved(NetworkError):
    """A name for which no address was found: nothing was sent, so nothing is known of what would have answered."""


class Cut(NetworkError):
    """A connection that was there ended early."""

    verb = "was cut"
