"""`calls-doctor` whose nat.idle knows shorter silences, for a test that has no half minute: within the second of them a
flow is forgotten too soon. Whole seconds, in which Linux's timeouts are set, lie between them.
"""

from __future__ import annotations

from calls_doctor.cli import main
from calls_doctor.net import binding_lifetime
from checks import idle

SILENCES_S = (1.4, 3.2, 5.0, 6.5, 8.0)
SHORT_S, LATER_S = 2, 4
"""Timeouts on either side of the threshold."""

if __name__ == "__main__":
    binding_lifetime.SILENCES_S = SILENCES_S
    idle.REFRESHED_S = SILENCES_S[1]
    main()
