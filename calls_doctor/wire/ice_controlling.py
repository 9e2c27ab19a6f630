"""The controlling end of ICE (RFC 8445), as the client speaks it: it checks one or more paths, nominates, and asks for
consent from then on (RFC 7675), closely while a handshake runs over the path. It answers the far end's own checks too,
for rtcd is a full agent.

Every check is a transaction of its own, as in libwebrtc and pion, so that a round trip is never ambiguous. What the
far end sends never raises. A refusal that is not authenticated changes nothing but the sentence at the end: anybody
on the path could have sent it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from calls_doctor.model.books import PathBooks
from calls_doctor.model.flow import Address, Path, Transport
from calls_doctor.wire import ice, stun
from calls_doctor.wire.ice import IceCredentials, Random
from calls_doctor.wire.path_books import PathTable
from calls_doctor.wire.stun import ErrorCode, Message, MessageClass, Method

PENDING_MAX = 16
"""How many unanswered checks a path remembers; consent expires after seven or eight."""
HANDSHAKE_INTERVAL_S = (0.2, 0.3)
"""How often consent is asked for while a DTLS handshake runs: it sends again after one second, two and four, so that
its own silence does not tell for long whether the far end is gone or packets were lost."""
HANDSHAKE_EXPIRY_S = 2.4
"""When a far end that answers none of those checks is gone. A path that loses a fifth each way loses nine in a row once
in ten thousand times."""
ROLE_SWITCHES_MAX = 3
"""A far end that goes on answering 487 is refusing."""


@dataclass
class _Check:
    """The checks of one path."""

    row: PathBooks
    started_at: float
    sent: int = 0
    """How many of the schedule were sent."""
    next_at: float | None = None
    """When the next one is due: of the schedule, or for consent; None once the path is given up."""
    pending: dict[bytes, tuple[float, bool]] = field(default_factory=dict)
    """Transaction id -> when it was sent, and whether it nominates."""
    trouble: ErrorCode | None = None
    """The last error the far end answered with."""


class ControllingAgent:
    """One session's agent. It puts packets into `outgoing`, for its driver to take, and counts in the path table."""

    def __init__(
        self,
        credentials: IceCredentials,
        paths: PathTable,
        random: Random,
        *,
        schedule_s: Sequence[float] = stun.PROBE_SCHEDULE_S,
        decided_s: float = stun.PROBE_DECIDED_S,
        consent_expiry_s: float = ice.CONSENT_EXPIRY_S,
        awaits_paths_until: float = 0.0,
    ) -> None:
        self._credentials = credentials
        self._key_in, self._key_out = credentials.key_in, credentials.key_out
        self._table, self._random = paths, random
        self._schedule_s, self._decided_s, self._consent_expiry_s = tuple(schedule_s), decided_s, consent_expiry_s
        self._tie_breaker = int.from_bytes(random(8), "big")
        self._awaits_paths_until = awaits_paths_until
        """More candidates may be told until then: that those which are known lead nowhere is no verdict before."""
        self._held: tuple[str, int | None] | None = None
        """The verdict that waits for it."""
        self._handshaking = False
        self._controlling = True
        self._role_switches = 0
        self._checks: dict[Path, _Check] = {}
        self._consent: dict[Path, float] = {}
        """Validated path -> when the far end last consented."""
        self._nominee: Path | None = None
        """The path whose checks carry USE-CANDIDATE."""
        self.validated: dict[Path, PathBooks] = {}
        """The paths that may be received on, with their rows in the books."""
        self.answered: set[Path] = set()
        """Those on which a check was answered, also where it no longer is."""
        self.selected: Path | None = None
        self.mapped: Address | None = None
        """Our own address as the far end sees it on the path answered last."""
        self.rtt_s: float | None = None
        """Round trip of the check answered last."""
        self.failure = ""
        """Why there is no path, or none any more; "" while there may be one."""
        self.refused_with: int | None = None
        """The error code with which the far end refused the checks, where that is why."""
        self.expired = False
        """Consent was there and has run out (RFC 7675)."""
        self.outgoing: list[tuple[Path, bytes]] = []

    def add_path(self, path: Path, now: float) -> None:
        """Starts checks on the path. Raises ValueError where the session has too many."""
        row = self._table.open(path)
        if row is None:
            raise ValueError("a session has no room for so many paths")
        self._checks[path] = check = _Check(row, now)
        self._held = None
        if self._nominee is None:
            self._nominee = path
        self._send_check(path, check, now)

    def remove_path(self, path: Path, now: float) -> None:
        """The path is gone (its TCP connection ended): nothing is sent there any more."""
        self._checks.pop(path, None)
        self._lose(path, now)
        self._conclude(now, "the path was closed")

    def nominate(self, path: Path, now: float) -> None:
        """Asks the far end to send on this path from now on. Raises ValueError where it is not validated."""
        if path not in self.validated:
            raise ValueError("only a validated path can be nominated")
        self._nominee = self.selected = path
        self._send_check(path, self._checks[path], now)

    def watch_handshake(self, now: float, *, runs: bool) -> None:
        """A handshake begins to run over the path, or is done: sets the pace at which consent is asked for."""
        self._handshaking = runs
        for path in self.validated:
            self._checks[path].next_at = now + self._consent_interval_s()

    def receive(self, message: Message, path: Path, now: float) -> bool:
        """Takes one STUN message. False where it was ignored: unasked, or not authentic."""
        check = self._checks.get(path) or self._learnt(message, path, now)
        if check is None or message.method != Method.BINDING:
            return False
        if message.message_class is MessageClass.REQUEST:
            return self._receive_request(message, path, check, now)
        if message.message_class is MessageClass.INDICATION or message.transaction_id not in check.pending:
            return False
        if message.message_class is MessageClass.ERROR:
            return self._receive_error(message, path, check, now)
        mapped = message.get(stun.XOR_MAPPED_ADDRESS)
        if mapped is None or message.unknown_required() or not message.integrity_is_valid(self._key_out):
            return False
        _count_in(check.row, message)
        sent_at, nominated = check.pending.pop(message.transaction_id)
        self.rtt_s, self.mapped = now - sent_at, mapped
        self._validate(path, check, now, nominated=nominated)
        return True

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None where it does not."""
        times = [check.next_at for check in self._checks.values() if check.next_at is not None]
        times += [at + self._expiry_s for at in self._consent.values()]
        if self._held is not None and not self.failure:
            times.append(self._awaits_paths_until)
        return min(times, default=None)

    def handle_timer(self, now: float) -> None:
        """Sends what is due, and finds out what has been silent for too long."""
        for path, check in self._checks.items():
            if check.next_at is not None and now >= check.next_at:
                if path not in self.validated and check.sent >= len(self._schedule_of(path)):
                    check.next_at = None
                else:
                    self._send_check(path, check, now)
        for path, at in list(self._consent.items()):
            if now >= at + self._expiry_s:
                self._checks[path].next_at = None
                self._lose(path, now)
                self.expired = not self.validated
        if self.expired:
            self._conclude(now, f"consent expired: no check was answered for {self._expiry_s:.3g} s")
        else:
            self._conclude_unanswered(now)

    def _learnt(self, message: Message, path: Path, now: float) -> _Check | None:
        """A path of which nobody but a check of the far end's tells: its candidate is peer-reflexive (RFC 8445 section
        7.3.1.3). None where it is no such check, or the session has too many paths."""
        if not ice.is_authentic(message, self._credentials):
            return None
        row = self._table.open(path)
        if row is None:
            return None
        self._checks[path] = check = _Check(row, now)
        return check

    def _receive_request(self, message: Message, path: Path, check: _Check, now: float) -> bool:
        """A check of the far end's own (RFC 8445 section 7.3)."""
        if not ice.is_authentic(message, self._credentials):
            return False
        _count_in(check.row, message)
        size = len(message.raw)
        if message.unknown_required():
            self._send(path, check.row, ice.unknown_attributes_refusal(message, size, self._key_in))
        elif self._keeps_role_against(message):
            self._send(path, check.row, ice.role_conflict_refusal(message, size, self._key_in))
        else:
            self._send(path, check.row, ice.success(message, size, path.remote, self._key_in))
            self._follow(path, check, now, nominated=message.get(stun.USE_CANDIDATE) is not None)
        return True

    def _keeps_role_against(self, message: Message) -> bool:
        """True where both ends claim one role and the far end must change; changes ours where we must (RFC 8445
        section 7.3.1.1)."""
        theirs = message.get(stun.ICE_CONTROLLING if self._controlling else stun.ICE_CONTROLLED)
        if theirs is None:
            return False
        if (self._tie_breaker >= theirs) is self._controlling:
            return True
        self._controlling = not self._controlling
        return False

    def _follow(self, path: Path, check: _Check, now: float, *, nominated: bool) -> None:
        """What a check of the far end makes us do: check the same path (RFC 8445 section 7.3.1.4), and send where a
        controlling far end wants it."""
        if not self._controlling and nominated:
            self._nominee = path
            if path in self.validated:
                self.selected = path
        if check.next_at is None and path not in self.validated:
            check.started_at, check.sent = now, 0
            self._send_check(path, check, now)

    def _receive_error(self, message: Message, path: Path, check: _Check, now: float) -> bool:
        error = message.get(stun.ERROR_CODE)
        if error is None:
            return False
        authentic = message.integrity_is_valid(self._key_out)
        if not authentic and error.code not in (ice.BAD_REQUEST, ice.UNAUTHENTICATED):
            return False  # only these two may come without MESSAGE-INTEGRITY (RFC 8489 section 9.1.3)
        _count_in(check.row, message)
        check.trouble = error
        if not authentic:
            return True
        del check.pending[message.transaction_id]
        if error.code == ice.ROLE_CONFLICT and self._role_switches < ROLE_SWITCHES_MAX:
            self._role_switches += 1
            self._controlling = not self._controlling
            self._tie_breaker = int.from_bytes(self._random(8), "big")
            self._send_check(path, check, now)
        elif path not in self.validated or error.code == ice.FORBIDDEN:  # 403 takes consent back (RFC 7675 section 5.2)
            check.next_at = None
            self._lose(path, now)
            self._conclude_unanswered(now)
        return True

    def _validate(self, path: Path, check: _Check, now: float, *, nominated: bool) -> None:
        first = path not in self.validated
        self.validated[path] = check.row
        self.answered.add(path)
        self._consent[path] = now
        if first:
            check.next_at = now + self._consent_interval_s()
        if self._nominee not in self.validated and self._controlling:
            self._nominee = path
        if path == self._nominee or self.selected is None:
            self.selected = path
        if first and self._controlling and path == self._nominee and not nominated:
            self._send_check(path, check, now)

    def _lose(self, path: Path, now: float) -> None:
        """The path is not to be sent on any more; another takes over where there is one."""
        self.validated.pop(path, None)
        self._consent.pop(path, None)
        if self.selected == path:
            self.selected = None
            other = max(self._consent, key=self._consent.__getitem__, default=None)
            if other is not None:
                self.nominate(other, now)

    def _conclude(self, now: float, reason: str, code: int | None = None) -> None:
        """Fails for the reason, where no path is left that may still be validated, and none is to come."""
        if self.failure:
            return
        if self.validated or any(check.next_at is not None for check in self._checks.values()):
            self._held = None
            return
        self._held = self._held or (reason, code)
        if now >= self._awaits_paths_until:
            self.failure, self.refused_with = self._held

    def _conclude_unanswered(self, now: float) -> None:
        trouble = next((check.trouble for check in self._checks.values() if check.trouble), None)
        if trouble is not None:
            said = f" ({trouble.reason})" if trouble.reason else ""
            self._conclude(now, f"the far end refuses connectivity checks with {trouble.code}{said}", trouble.code)
            return
        sent = sum(check.row.stun_out for check in self._checks.values())
        self._conclude(now, f"no connectivity check was answered: {sent} sent, {self._decided_s:.3g} s waited")

    def _schedule_of(self, path: Path) -> Sequence[float]:
        """TCP sends again by itself (RFC 8489 section 6.2.2)."""
        return self._schedule_s[:1] if path.transport is Transport.TCP else self._schedule_s

    @property
    def _expiry_s(self) -> float:
        return min(HANDSHAKE_EXPIRY_S, self._consent_expiry_s) if self._handshaking else self._consent_expiry_s

    def _consent_interval_s(self) -> float:
        least, most = HANDSHAKE_INTERVAL_S if self._handshaking else ice.CONSENT_INTERVAL_S
        return least + (most - least) * int.from_bytes(self._random(2), "big") / 0xFFFF

    def _send_check(self, path: Path, check: _Check, now: float) -> None:
        """Sends one check, and sets when the next is due: for consent, of the schedule, or its verdict."""
        transaction_id = self._random(stun.TRANSACTION_ID_BYTES)
        nominates = self._controlling and path == self._nominee
        role = stun.ICE_CONTROLLING if self._controlling else stun.ICE_CONTROLLED
        packet = ice.check(transaction_id, self._credentials, path, (role, self._tie_breaker), nominates=nominates)
        if len(check.pending) >= PENDING_MAX:
            del check.pending[next(iter(check.pending))]
        check.pending[transaction_id] = (now, nominates)
        check.sent += 1
        if path in self.validated:
            check.next_at = now + self._consent_interval_s()
        else:
            schedule_s = self._schedule_of(path)
            check.next_at = check.started_at + (
                schedule_s[check.sent] if check.sent < len(schedule_s) else self._decided_s
            )
        self._send(path, check.row, packet)

    def _send(self, path: Path, row: PathBooks, packet: bytes | None) -> None:
        if packet is not None:
            row.stun_out += 1
            row.bytes_out += len(packet)
            self.outgoing.append((path, packet))


def _count_in(row: PathBooks, message: Message) -> None:
    row.stun_in += 1
    row.bytes_in += len(message.raw)
