"""Voice quality from what a path does to packets: the E-model's transmission rating R (ITU-T G.107) and the mean
opinion score that it estimates. Pure arithmetic; it judges nothing.

All that G.107 lets a planner set is at its defaults (R 93.2 and MOS 4.41 where nothing else harms), but for delay,
codec and packet loss. So it is the narrowband model with its scale up to 4.5: how a call fares, held against a good
telephone line, and not how good Opus sounds beside one.

What is assumed of the rest, for no measurement of a path can tell it:

- The codec is Opus, 20 ms a packet at about 40 kbit/s, as browsers send it. G.113 lists no Ie and Bpl for Opus. Ie 0:
  undisturbed it sounds no worse than G.711, the model's reference. Bpl 10: measured for super-wideband Opus at 40
  kbit/s under random loss was 9.8 (Alahmadi, Pocta, Melvin: An Adaptive Bitrate Switching Algorithm for Speech
  Applications in Context of WebRTC, ACM TOMM 17(4), 2021). That is without in-band FEC, which would help.
- Losses are random (BurstR 1).
- From mouth to ear the network's delay is joined by the codec's (a frame of 20 ms, 6.5 ms of look-ahead) and by a
  jitter buffer of four times the jitter, 40 ms at least. Where delays are distributed exponentially that holds 98 % of
  the packets, and the few that come later are not counted as lost. Devices, and the browser's work, come on top.
- Echo is cancelled as well as the default says (TELR 65 dB).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log2, log10, pow, sqrt

SIGNAL_TO_NOISE, SIMULTANEOUS = 94.769, 1.414
"""Ro and Is of the defaults (G.107 sections 7.2 and 7.3)."""
TALKER_ECHO_LOUDNESS_DB, ECHO_PATH_LOSS_DB = 65.0, 110.0
"""TELR and WEPL."""
LEAST_NOTICED_DELAY_MS = 100.0
"""mT: a shorter delay disturbs no conversation by itself."""
ALL_LOST = 95.0
"""Ie-eff where nothing comes through."""
MOS_MIN, MOS_MAX = 1.0, 4.5

OPUS_IMPAIRMENT, OPUS_LOSS_ROBUSTNESS = 0.0, 10.0
"""Ie and Bpl that are assumed for Opus."""
CODEC_DELAY_S = 0.0265
JITTER_BUFFER_MIN_S = 0.040
JITTER_BUFFER_PER_JITTER = 4.0


@dataclass(frozen=True)
class Voice:
    """How one direction of a call would be rated."""

    mouth_to_ear_s: float
    r_factor: float
    """Of 0..93.2: over 80 people are satisfied, below 60 nearly all are not (G.107 Annex B)."""
    mos: float
    """Of 1..4.5; the best that this model knows is 4.41."""


def voice(network_delay_s: float, jitter_s: float, loss_ratio: float) -> Voice:
    """One direction: its one-way delay without any buffer, its jitter (RFC 3550), the share of packets lost (0..1)."""
    buffer_s = max(JITTER_BUFFER_MIN_S, JITTER_BUFFER_PER_JITTER * jitter_s)
    mouth_to_ear_s = network_delay_s + CODEC_DELAY_S + buffer_s
    lost = equipment_impairment(loss_ratio, OPUS_IMPAIRMENT, OPUS_LOSS_ROBUSTNESS)
    rating = min(100.0, max(0.0, r_factor(mouth_to_ear_s, lost)))
    return Voice(mouth_to_ear_s, rating, mos(rating))


def r_factor(mouth_to_ear_s: float, equipment_impairment: float = 0.0) -> float:
    """R of this one-way delay and this Ie-eff (G.107 section 7.1); below 0 where nothing can be understood."""
    return SIGNAL_TO_NOISE - SIMULTANEOUS - _delay_impairment(1000 * mouth_to_ear_s) - equipment_impairment


def equipment_impairment(loss_ratio: float, impairment: float, loss_robustness: float) -> float:
    """Ie-eff of a codec with this Ie and Bpl, where so many packets are lost at random (G.107 section 7.5)."""
    lost_percent = 100 * loss_ratio
    return impairment + (ALL_LOST - impairment) * lost_percent / (lost_percent + loss_robustness)


def mos(r_factor: float) -> float:
    """The mean opinion score, MOS-CQE, of this R (G.107 Annex B). Below R 6.5 its polynomial is under 1, which is no
    score."""
    if r_factor <= 0:
        return MOS_MIN
    if r_factor >= 100:
        return MOS_MAX
    return max(MOS_MIN, 1 + 0.035 * r_factor + r_factor * (r_factor - 60) * (100 - r_factor) * 7e-6)


def _delay_impairment(one_way_ms: float) -> float:
    """Id: the talker's echo, the listener's, and delay itself (G.107 section 7.4)."""
    return _talker_echo(one_way_ms) + _listener_echo(2 * one_way_ms) + _absolute_delay(one_way_ms)


def _talker_echo(one_way_ms: float) -> float:
    heard_db = TALKER_ECHO_LOUDNESS_DB - 40 * log10((1 + one_way_ms / 10) / (1 + one_way_ms / 150))
    heard_db += 6 * exp(-0.3 * one_way_ms**2)
    less = (SIGNAL_TO_NOISE - (80 + 2.5 * (heard_db - 14))) / 2  # Roe is Ro with the default noise
    return (less + sqrt(less**2 + 100) - 1) * (1 - exp(-one_way_ms))


def _listener_echo(round_trip_ms: float) -> float:
    less = (SIGNAL_TO_NOISE - 10.5 * (ECHO_PATH_LOSS_DB + 7) * pow(round_trip_ms + 1, -0.25)) / 2
    return less + sqrt(less**2 + 169)


def _absolute_delay(one_way_ms: float) -> float:
    if one_way_ms <= LEAST_NOTICED_DELAY_MS:
        return 0.0
    doublings = log2(one_way_ms / LEAST_NOTICED_DELAY_MS)
    return 25 * (pow(1 + doublings**6, 1 / 6) - 3 * pow(1 + (doublings / 3) ** 6, 1 / 6) + 2)
