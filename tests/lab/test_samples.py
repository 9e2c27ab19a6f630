"""What the documents show is what a run says today, times aside."""

from __future__ import annotations

import pytest

from docs import make_samples
from tests.lab.namespaces import why_not


@pytest.mark.skipif(why_not() != "", reason=f"no lab here: {why_not()}")
@pytest.mark.parametrize("sample", make_samples.SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_is_what_a_run_says_today(sample: make_samples.Sample) -> None:
    kept = (make_samples.HERE / "samples" / f"{sample.name}.txt").read_text()
    assert make_samples.words(make_samples.made(sample)) == make_samples.words(kept), "python -m docs.make_samples"


def test_the_readme_shows_the_samples_as_they_are_kept() -> None:
    readme = make_samples.README.read_text()
    failing = (make_samples.HERE / "samples" / "udp-blocked.txt").read_text()
    assert f"```text\n{failing}```\n" in readme
    assert "media.udp-blocked-inbound" in failing


def test_times_and_counts_are_no_difference_and_words_are() -> None:
    words = make_samples.words
    assert words("round trip 0.7 ms; took 2.9 s") == words("round trip 12 ms; took\n   3 s")
    assert words("24 of 24 probes came back") == words("23 of 24 probes came back")
    assert words("24 of 24 probes came back") != words("24 of 24 probes were lost")
