"""What rtcd answers to GET /version, how a stand-in's answer is told from it, and which versions the plugin takes."""

from __future__ import annotations

import re
from enum import StrEnum

STAND_IN_PREFIX = "dev-calls-doctor-"
"""How `buildVersion` begins where it is the stand-in that answers.

The plugin takes every version that begins with `dev` for new enough, so a client that keeps to the protocol sees no
difference; whoever asks for this prefix does.
"""
VERSION_KEYS = ("buildDate", "buildVersion", "buildHash", "goVersion", "goOS", "goArch")
"""All of /version, in rtcd's order; every value is a string."""
MINIMUM = (0, 17, 0)
"""The oldest that today's Calls plugin takes (its manifest's min_rtcd_version); it starts with none of several that is
older."""
WITH_LOCK = (1, 1, 0)
"""Since when clients take a lock before they offer."""
ALWAYS_TAKEN = re.compile(r"|master|dev.*")
_RELEASE = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(-[0-9A-Za-z.-]+)?(\+.*)?")


class Fitness(StrEnum):
    """What the plugin makes of a buildVersion."""

    NEW_ENOUGH = "new-enough"
    UNJUDGED = "unjudged"
    """A build of one's own, which it takes whatever it is."""
    TOO_OLD = "too-old"
    UNREADABLE = "unreadable"


def is_stand_in(version: str) -> bool:
    """True where it is a stand-in that answers."""
    return version.startswith(STAND_IN_PREFIX)


def fitness(version: str, minimum: tuple[int, int, int] = MINIMUM) -> Fitness:
    """Compared as semantic versions are: a release goes before its own candidates."""
    if ALWAYS_TAKEN.fullmatch(version):
        return Fitness.UNJUDGED
    found = _RELEASE.fullmatch(version)
    if found is None:
        return Fitness.UNREADABLE
    release = (int(found[1]), int(found[2]), int(found[3]))
    is_older = release < minimum or (release == minimum and found[4] is not None)
    return Fitness.TOO_OLD if is_older else Fitness.NEW_ENOUGH


def has_lock(version: str) -> bool:
    """Whether a client is given a lock; of a build of one's own it is thought to be a new one."""
    return fitness(version, WITH_LOCK) is not Fitness.TOO_OLD


def shown(release: tuple[int, int, int]) -> str:
    """As rtcd writes it."""
    return "v" + ".".join(map(str, release))
