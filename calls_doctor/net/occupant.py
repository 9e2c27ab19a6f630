"""What answers on a port of this machine that somebody else has: without root that tells more than a uid."""

from __future__ import annotations

from calls_doctor.errors import CallsDoctorError
from calls_doctor.model.flow import Address, Transport, shown
from calls_doctor.net import http
from calls_doctor.net.rtcd_client import version_of
from calls_doctor.net.stun_client import binding

ANSWER_S = 0.5
"""Nothing on this machine takes longer."""


async def what_answers(at: Address, transport: Transport) -> str:
    """The word for it: `rtcd VERSION`, `HTTP STATUS` or `STUN`; "" where it keeps silent, as rtcd's media port does."""
    if transport is Transport.UDP:
        return await _stun(at)
    try:
        answer = await http.get(f"http://{shown(at)}/version", timeout_s=ANSWER_S)
    except CallsDoctorError:  # no HTTP, or nothing at all
        return ""
    version = version_of(answer)
    return f"HTTP {answer.status}" if version is None else f"rtcd {version}".strip()


async def _stun(at: Address) -> str:
    try:
        await binding(at, schedule_s=(0.0,), decided_s=ANSWER_S)
    except CallsDoctorError:
        return ""
    return "STUN"
