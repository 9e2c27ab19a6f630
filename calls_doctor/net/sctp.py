"""Our end of an SCTP association with data channels (RFC 8261, RFC 8831, RFC 8832): aiortc's, behind bounds of ours.

It begins an association only where it is told to, and else keeps no timer until the far end has shown its cookie.
aiortc trusts its peer, and whoever holds a link may be one, so every packet is looked at before aiortc sees it, and
whatever grows beyond what an honest client needs ends the association. Importing this file takes a third of a second,
so whoever uses it does so inside a function.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Coroutine
from typing import cast

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCDtlsTransport, RTCSctpTransport
from aiortc.rtcsctptransport import Chunk

from calls_doctor.wire.data_channel import MESSAGE_MAX_BYTES, Conversation
from calls_doctor.wire.dtls import DATA_MAX_BYTES, DtlsRole
from calls_doctor.wire.ice_lite import Desk
from calls_doctor.wire.sctp_packet import is_sound

PORT = 5000
"""Both ends', as our answers announce it (a=sctp-port)."""
WINDOW_BYTES = 2 * MESSAGE_MAX_BYTES
"""What may come of messages that are not whole yet."""
RTO_INITIAL_S = 1.0
"""RFC 9260 section 16; aiortc has the 3 s of the RFC before it."""
UNFINISHED_CHUNKS_MAX = 128
MISORDERED_MAX = 256
STREAMS_MAX = 16
CHANNELS_MAX = 4
PENDING_MAX_BYTES = MESSAGE_MAX_BYTES
"""Of answers that the far end has not made room for; it gets no more until it has."""
_BROKEN = (AssertionError, AttributeError, LookupError, TypeError, ValueError, struct.error)
"""What aiortc raises where chunks come that its state has no place for."""


class _Excess(ValueError):
    """The far end wants more than there is for it."""


class _Dtls:
    """What aiortc's SCTP asks of the DTLS transport below it."""

    state = "connected"

    def __init__(self, send: Callable[[bytes], None], role: str) -> None:
        self._send, self._role = send, role

    def _register_data_receiver(self, receiver: RTCSctpTransport) -> None:
        """Its packets come through `Association.receive`."""

    def _unregister_data_receiver(self, receiver: RTCSctpTransport) -> None:
        """None is registered."""

    async def _send_data(self, data: bytes) -> None:
        """Never waits, so that a packet is handled to its end in one step."""
        if len(data) <= DATA_MAX_BYTES:  # a HEARTBEAT of the far end's may ask for more
            self._send(data)


class _Sctp(RTCSctpTransport):
    """aiortc's, with an end to what it keeps."""

    def __init__(self, dtls: _Dtls) -> None:
        super().__init__(cast(RTCDtlsTransport, dtls), PORT)  # it has all that is used of one
        self._advertised_rwnd = WINDOW_BYTES
        self._rto = RTO_INITIAL_S

    @property
    def pending_bytes(self) -> int:
        """Of messages that are still to be cut into packets."""
        return sum(channel.bufferedAmount for channel in self._data_channels.values())

    async def _init(self) -> None:
        """What `start` would do: the far end begins, or `begin` is called."""

    async def begin(self) -> None:
        """INIT, unless the far end's has led to an association already."""
        if self.state == "connecting" and self._association_state == self.State.CLOSED:
            await super()._init()

    async def _receive_chunk(self, chunk: Chunk) -> None:
        await super()._receive_chunk(chunk)
        if (
            self._advertised_rwnd < 0
            or sum(len(stream.reassembly) for stream in self._inbound_streams.values()) > UNFINISHED_CHUNKS_MAX
            or len(self._sack_misordered) > MISORDERED_MAX
            or len(self._inbound_streams) > STREAMS_MAX
            or len(self._data_channels) > CHANNELS_MAX
        ):
            raise _Excess

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        if state is self.State.CLOSED:  # what is queued would start a timer again
            self._forward_tsn_chunk = None
            self._sent_queue.clear()
            self._outbound_queue.clear()
        super()._set_state(state)


class Association:
    """`send` takes one packet (at most DATA_MAX_BYTES) for DTLS; `answer` gives what a message is answered, or None;
    `opened` hears of each channel. `role` is this end's in DTLS.

    Needs a running loop, for its timers. Nothing that the far end sends raises.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        answer: Callable[[str | bytes], str | bytes | None],
        opened: Callable[[], None] = lambda: None,
        role: DtlsRole = DtlsRole.SERVER,
    ) -> None:
        self._answer, self._heard_open = answer, opened
        self._channel: RTCDataChannel | None = None
        """The one that was opened last."""
        self._sctp = _Sctp(_Dtls(send, role.value))
        self._sctp.add_listener("datachannel", self._opened)
        _finish(self._sctp.start(None, PORT))

    @property
    def closed(self) -> bool:
        """True once either end has ended it, or the far end has broken it."""
        return self._sctp.state == "closed"

    def begin(self) -> None:
        """Begins the association once DTLS is up, as both ends may (RFC 8841 section 9.3)."""
        _finish(self._sctp.begin())

    def open(
        self, label: str, opened: Callable[[], None], received: Callable[[str | bytes], None]
    ) -> Callable[[str | bytes], None]:
        """Opens a channel; the far end has taken it when `opened` is called.

        Gives what sends a message over it: one for which there is no room, or no channel any more, is dropped.
        """
        channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(label=label))
        channel.add_listener("open", opened)
        channel.add_listener("message", received)

        def send(message: str | bytes) -> None:
            if channel.readyState == "open" and self._sctp.pending_bytes <= PENDING_MAX_BYTES:
                channel.send(message)

        return send

    def receive(self, packet: bytes) -> None:
        """Takes one packet, as DTLS application data brought it."""
        if self.closed or not is_sound(packet):
            return
        try:
            _finish(self._sctp._handle_data(packet))
        except _BROKEN:
            self.close()

    def tell(self, message: str | bytes) -> None:
        """Sends a message on the channel that was opened last; drops it where there is none, or the far end has made no
        room for what was sent before."""
        channel = self._channel
        if channel is not None and channel.readyState == "open" and self._sctp.pending_bytes <= PENDING_MAX_BYTES:
            channel.send(message)

    def close(self) -> None:
        """Tells the far end (ABORT), and stops the timers."""
        if not self.closed:
            _finish(self._sctp.stop())

    def _opened(self, channel: RTCDataChannel) -> None:
        def received(message: str | bytes) -> None:
            if channel.readyState != "open" or self._sctp.pending_bytes > PENDING_MAX_BYTES:
                return
            said = self._answer(message)
            if said is not None:
                channel.send(said)

        self._channel = channel
        channel.add_listener("message", received)
        self._heard_open()


def associate(send: Callable[[bytes], None], desk: Desk) -> Association:
    """One at whose channels the desk is asked (wire/data_channel.py)."""
    return Association(send, Conversation(desk).answer)


def open_channel(
    send: Callable[[bytes], None], heard: Callable[[str | bytes], None], opened: Callable[[], None], role: DtlsRole
) -> Association:
    """One whose messages are handed on, and answered by `tell`."""

    def received(message: str | bytes) -> None:
        heard(message)

    return Association(send, received, opened, role)


def _finish(steps: Coroutine[object, None, None]) -> None:
    """Runs what is written as a coroutine but has nothing to wait for."""
    try:
        steps.send(None)
    except StopIteration:
        return
    steps.close()
    raise RuntimeError("SCTP waits for something")
