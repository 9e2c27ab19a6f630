"""What rtcd answers to GET /version, and how a stand-in's answer is told from it."""

from __future__ import annotations

STAND_IN_PREFIX = "dev-calls-doctor-"
"""How `buildVersion` begins where it is the stand-in that answers.

The plugin takes every version that begins with `dev` for new enough, so a client that keeps to the protocol sees no
difference; whoever asks for this prefix does.
"""
VERSION_KEYS = ("buildDate", "buildVersion", "buildHash", "goVersion", "goOS", "goArch")
"""All of /version, in rtcd's order; every value is a string."""
