"""config.versions: what rtcd calls itself and what the site file says of the plugin go together, or do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from calls_doctor.model.check import Finding, Status
from calls_doctor.model.site import Mode, Setting, Site
from checks import versions
from tests.diagnosis import findings as f
from tests.servers.media_host import context, result

URL = "http://rtcd.example.com:8045"


async def found(*told: str, plugin: str = "", mode: Mode | None = None) -> Finding:
    """What these versions at one address each come to; none: port.api-tcp did not pass."""
    rows = [{"address": f"192.0.2.{n}", "version": one} for n, one in enumerate(told, 1)]
    passed = Finding(status=Status.PASS if told else Status.FAIL, summary="", evidence={"addresses": rows})
    settings = {"mattermost.plugin_version": Setting(value=plugin, origin="here")} if plugin else {}
    given = context(None, results={"port.api-tcp": result("port.api-tcp", passed)})
    return await versions.versions_probe(replace(given, site=Site(rtcd_url=URL, mode=mode, settings=settings)))


@pytest.mark.parametrize(
    ("told", "status", "said"),
    [
        (["v1.2.6"], Status.PASS, "rtcd v1.2.6 (at least v0.17.0)"),
        ([""], Status.PASS, "unnamed (a build that the plugin takes unjudged)"),
        (["dev-calls-doctor-0"], Status.PASS, "takes unjudged"),
        (["v1.2.6", "v0.16.0"], Status.FAIL, "v0.16.0 at 192.0.2.2 is older than v0.17.0"),
        (["latest"], Status.UNKNOWN, "names no release"),
        ([], Status.SKIP, "port.api-tcp did not pass"),
    ],
)
async def test_what_rtcd_calls_itself(told: list[str], status: Status, said: str) -> None:
    finding = await found(*told)
    assert finding.status is status and said in finding.summary
    made = f.result("config.versions", finding.status, finding.target, "mattermost", **finding.evidence)
    assert f.causes(made) == (["api.too-old"] if status is Status.FAIL else [])


@pytest.mark.parametrize(
    ("plugin", "mode", "status"),
    [
        ("1.3.1", Mode.HA_RTCD, Status.WARN), ("v0.29.5", Mode.KUBERNETES, Status.WARN),
        ("1.3.1", Mode.RTCD, Status.PASS), ("1.3.2", Mode.HA_RTCD, Status.PASS), ("1.11.0", None, Status.PASS),
    ],
)  # fmt: skip
async def test_a_plugin_that_is_known_to_break_calls_in_this_mode(
    plugin: str, mode: Mode | None, status: Status
) -> None:
    finding = await found("v1.2.6", plugin=plugin, mode=mode)
    assert finding.status is status and f"plugin {plugin}" in finding.summary


async def test_where_nothing_is_known_there_is_nothing_to_do() -> None:
    finding = await versions.versions_probe(context(None))
    assert finding.status is Status.SKIP and finding.evidence["nothing_to_do"] is True
