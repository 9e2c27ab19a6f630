"""The keys of rtcd's version, against what was captured of v1.2.6."""

from __future__ import annotations

import json

from calls_doctor.wire import rtcd_version
from tests.wire.rtcd_captures import DIRECTORY


def test_the_version_has_rtcds_keys_in_rtcds_order() -> None:
    exchanges = [json.loads(line) for line in (DIRECTORY / "http.jsonl").read_text().splitlines()]
    (version,) = [one["response"]["body"] for one in exchanges if one["name"] == "version"]
    assert list(json.loads(version)) == list(rtcd_version.VERSION_KEYS)
    assert rtcd_version.STAND_IN_PREFIX.startswith("dev"), "the plugin takes these for new enough"
