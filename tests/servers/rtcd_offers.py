"""Offers as clients of rtcd made them, for tests without a client: a data channel alone, then audio, then video too."""

from __future__ import annotations

import json
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "rtcd"
AUDIO_SSRC, VIDEO_SSRC = 3656664398, 1156060805
"""Of the captured sharer's streams."""


def _offers() -> list[str]:
    found: list[str] = []
    for line in (DATA / "aiortc-screen.jsonl").read_text().splitlines():
        one = json.loads(line)
        value = one["data"].get("data") if one["kind"] == "ws" and one["type"] == "rtc" else None
        text = value.get("$json", {}) if isinstance(value, dict) else {}
        is_sharers = one["kind"] == "ws" and str(one["data"].get("session_id", "")).startswith("sessA")
        if is_sharers and one["dir"] == "c2s" and text.get("type") == "offer":
            found.append(text["sdp"])
    return found


CHANNEL_OFFER, AUDIO_OFFER, SCREEN_OFFER = _offers()
SCREEN_STREAM = next(line.split()[0][7:] for line in SCREEN_OFFER.splitlines() if line.startswith("a=msid:"))
"""The name of the stream that both of its tracks have."""


def answer_to(offer: str) -> str:
    """As a client that takes all of it and is DTLS server answers."""
    return offer.replace("a=setup:actpass", "a=setup:passive")
