"""Is anybody at a media port, where no stand-in was named? Whoever listens need not answer; a closed port says so."""

from __future__ import annotations

from calls_doctor.errors import CallsDoctorError, NetworkError, Silence
from calls_doctor.model.flow import Address, Transport
from calls_doctor.net.streams import open_stream
from calls_doctor.net.stun_client import binding
from calls_doctor.wire import stun


async def knock(at: Address, transport: Transport) -> NetworkError | None:
    """What the network says to a TCP connection, or to an unauthenticated Binding request over UDP: Silence where it
    says nothing (rtcd never answers that), None where something answered or took the connection."""
    try:
        if transport is Transport.TCP:
            stream = await open_stream(at, stun.PROBE_DECIDED_S)
            await stream.close()
        else:
            await binding(at)
    except NetworkError as error:
        return error
    except CallsDoctorError:
        return None  # an answer, of whatever kind
    return None


def said_nothing(trouble: NetworkError | None) -> bool:
    """Silence decides nothing where nobody is known to listen."""
    return isinstance(trouble, Silence)
