"""How soon the program answers: `--version` and `--help` against what importing click alone costs.

python -m benchmarks.start_up
"""

from __future__ import annotations

import sys

from benchmarks.process import CALLS_DOCTOR, interleaved
from benchmarks.quality import Figure, record

ROUNDS = 21
RATIO_BAR = 1.3


def main() -> int:
    """Measures, prints, writes down."""
    asked = {"--version": [CALLS_DOCTOR, "--version"], "--help": [CALLS_DOCTOR, "--help"]}
    click, *answers = interleaved(ROUNDS, [sys.executable, "-c", "import click"], *asked.values())
    figures = [
        Figure(
            f"`{option}` against `python -c 'import click'`, medians of {ROUNDS} interleaved",
            f"at most {RATIO_BAR} times",
            f"{times.median_s / click.median_s:.2f} times: {times} against {click}",
            times.median_s <= RATIO_BAR * click.median_s,
            "python -m benchmarks.start_up",
        )
        for option, times in zip(asked, answers, strict=True)
    ]
    return record(*figures)


if __name__ == "__main__":
    sys.exit(main())
