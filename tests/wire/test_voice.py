"""The E-model against what the Recommendations print, and what must hold for any path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls_doctor.wire.voice import MOS_MAX, MOS_MIN, equipment_impairment, mos, r_factor, voice

DELAYS_S = st.floats(0.0, 5.0)
JITTERS_S = st.floats(0.0, 1.0)
RATIOS = st.floats(0.0, 1.0)


def test_with_every_default_r_is_93_2_and_mos_4_41() -> None:
    """ITU-T G.107 section 7.7: "R = 93.2"; the MOS that its Annex B makes of it is widely printed as 4.41."""
    assert round(r_factor(0.0), 1) == 93.2
    assert round(mos(r_factor(0.0)), 2) == 4.41


@pytest.mark.parametrize(("rating", "score"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_a_score_belongs_to_each_limit_of_satisfaction(rating: float, score: float) -> None:
    """ITU-T G.107 table B.1."""
    assert mos(rating) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize(("rating", "score"), [(-20, 1.0), (0, 1.0), (3, 1.0), (100, 4.5), (120, 4.5)])
def test_the_score_ends_where_its_scale_does(rating: float, score: float) -> None:
    """ITU-T G.107 equations B-4; at R = 3 the polynomial alone would say 0.99."""
    assert mos(rating) == score


@pytest.mark.parametrize(
    ("codec", "lost_percent", "printed"),
    [
        *(((11, 19), *row) for row in
          [(0, 11), (0.5, 13), (1, 15), (1.5, 17), (2, 19), (3, 23), (4, 26), (8, 36), (16, 49)]),
        *(((15, 16.1), *row) for row in [(0, 15), (2, 24)]),
        *(((0, 25.1), *row) for row in [(0, 0), (2, 7), (3, 10), (5, 15)]),
    ],
)  # fmt: skip
def test_lost_packets_impair_known_codecs_as_measured(
    codec: tuple[float, float], lost_percent: float, printed: float
) -> None:
    """ITU-T G.113 Appendix I: Ie and Bpl of G.729A+VAD, G.723.1+VAD (6.3 kbit/s) and G.711 with concealment (2007)
    give back the Ie that its 2001 edition printed for each loss."""
    assert equipment_impairment(lost_percent / 100, *codec) == pytest.approx(printed, abs=0.9)


@pytest.mark.parametrize("delay_ms", [25, 50, 100, 150, 200, 250, 300])
def test_delay_costs_what_its_well_known_fit_says(delay_ms: float) -> None:
    """Cole, Rosenbluth: Voice over IP Performance Monitoring (ACM SIGCOMM CCR 31(2), 2001) fitted G.107's curve for
    short delays so: Id = 0.024 d + 0.11 (d - 177.3) H(d - 177.3). Its kink, which the curve has not, is left out."""
    fitted = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - 177.3)
    assert r_factor(0.0) - r_factor(delay_ms / 1000) == pytest.approx(fitted, abs=0.5)


def test_what_no_path_can_tell_is_assumed() -> None:
    """10 ms of the network, a frame and look-ahead of Opus, and the least buffer; four times a jitter of 20 ms."""
    assert voice(0.010, 0.0, 0.0).mouth_to_ear_s == pytest.approx(0.010 + 0.0265 + 0.040)
    assert voice(0.010, 0.020, 0.0).mouth_to_ear_s == pytest.approx(0.010 + 0.0265 + 0.080)
    assert voice(0.0, 0.0, 0.10).r_factor == pytest.approx(voice(0.0, 0.0, 0.0).r_factor - 95 / 2)  # Bpl 10


@given(DELAYS_S, JITTERS_S, RATIOS)
def test_every_path_has_a_rating_on_the_scale(delay_s: float, jitter_s: float, loss_ratio: float) -> None:
    rated = voice(delay_s, jitter_s, loss_ratio)
    assert 0 <= rated.r_factor <= 93.2
    assert MOS_MIN <= rated.mos <= MOS_MAX


@given(DELAYS_S, DELAYS_S, JITTERS_S, JITTERS_S, RATIOS, RATIOS)
def test_more_delay_jitter_or_loss_never_rates_better(
    delay_s: float, more_s: float, jitter_s: float, wilder_s: float, lost_ratio: float, other_ratio: float
) -> None:
    before = voice(delay_s, jitter_s, min(lost_ratio, other_ratio))
    after = voice(delay_s + more_s, jitter_s + wilder_s, max(lost_ratio, other_ratio))
    assert after.r_factor <= before.r_factor + 1e-9 and after.mos <= before.mos + 1e-9
