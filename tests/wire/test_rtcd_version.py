"""The keys of rtcd's version, against what was captured of v1.2.6."""

from __future__ import annotations

import json

import pytest

from calls_doctor.wire import rtcd_version
from calls_doctor.wire.rtcd_version import Fitness
from tests.wire.rtcd_captures import DIRECTORY


def test_the_version_has_rtcds_keys_in_rtcds_order() -> None:
    exchanges = [json.loads(line) for line in (DIRECTORY / "http.jsonl").read_text().splitlines()]
    (version,) = [one["response"]["body"] for one in exchanges if one["name"] == "version"]
    assert list(json.loads(version)) == list(rtcd_version.VERSION_KEYS)
    assert rtcd_version.STAND_IN_PREFIX.startswith("dev"), "the plugin takes these for new enough"


@pytest.mark.parametrize(
    ("version", "fitness"),
    [
        ("v0.17.0", Fitness.NEW_ENOUGH), ("0.17.0", Fitness.NEW_ENOUGH), ("v1.2.6", Fitness.NEW_ENOUGH),
        ("v0.17.0+build", Fitness.NEW_ENOUGH), ("v0.17.1-rc1", Fitness.NEW_ENOUGH), ("v0.16.9", Fitness.TOO_OLD),
        ("v0.9.0", Fitness.TOO_OLD), ("v0.17.0-rc1", Fitness.TOO_OLD), ("", Fitness.UNJUDGED),
        ("master", Fitness.UNJUDGED), ("dev-abc", Fitness.UNJUDGED), ("dev-calls-doctor-1", Fitness.UNJUDGED),
        ("masterly", Fitness.UNREADABLE), ("1.2", Fitness.UNREADABLE), ("latest", Fitness.UNREADABLE),
    ],
)  # fmt: skip
def test_which_versions_the_plugin_takes(version: str, fitness: Fitness) -> None:
    assert rtcd_version.fitness(version) is fitness


def test_the_minimum_is_shown_as_rtcd_writes_it() -> None:
    assert rtcd_version.shown(rtcd_version.MINIMUM) == "v0.17.0"


@pytest.mark.parametrize(("version", "there"), [("v1.1.0", True), ("v1.0.9", False), ("", True), ("dev-x", True)])
def test_since_when_there_is_a_lock(version: str, there: bool) -> None:
    assert rtcd_version.has_lock(version) is there
