"""What is noted of a channel's news, and that all of it is passed on."""

from __future__ import annotations

import pytest

from calls_doctor.errors import Cut, NetworkError, Refused, Unreachable
from calls_doctor.model.flow import Transport
from calls_doctor.net.listening import Listening, Signs


class Heard:
    """A receiver that keeps what it is given."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.troubles: list[NetworkError] = []

    def packet(self, data: bytes) -> None:
        self.packets.append(data)

    def trouble(self, error: NetworkError) -> None:
        self.troubles.append(error)


async def test_silence_begins_with_the_first_question_and_ends_with_an_answer() -> None:
    heard, silent_since, signs = Heard(), dict[Transport, float](), Signs()
    listening = Listening(heard, Transport.UDP, silent_since, signs)
    began_at = silent_since[Transport.UDP]
    Listening(heard, Transport.UDP, silent_since, signs)
    assert silent_since == {Transport.UDP: began_at}
    listening.packet(b"answer")
    assert (silent_since, signs, heard.packets) == ({}, Signs(answered=True), [b"answer"])


@pytest.mark.parametrize(
    ("error", "signs"),
    [(Cut("x"), Signs(closed=True)), (Refused("x"), Signs(refused=True)), (Unreachable("x"), Signs())],
)
async def test_who_refuses_or_hangs_up_is_noted(error: NetworkError, signs: Signs) -> None:
    heard, noted = Heard(), Signs()
    Listening(heard, Transport.TCP, {}, noted).trouble(error)
    assert (noted, heard.troubles) == (signs, [error])
