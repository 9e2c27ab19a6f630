"""config.versions: do the versions that were told go together, as the Calls plugin sees it?"""

from __future__ import annotations

from calls_doctor.model.check import API, Evidence, Finding, Status
from calls_doctor.model.site import Mode, Site
from calls_doctor.spec import NETWORK_PHASES, CheckSpec, Context, nothing_to_do, rtcd_versions
from calls_doctor.wire import rtcd_version
from calls_doctor.wire.rtcd_version import Fitness

PLUGIN = "mattermost.plugin_version"
KNOWN_BAD = {"1.3.1": "1.3.2", "0.29.5": "0.29.6"}
"""Releases of the plugin with which several Mattermost nodes and rtcd put callers of one call into several (plugin pull
request 912), and the release that mends it."""
SEVERAL_NODES = (Mode.HA_RTCD, Mode.KUBERNETES)


async def versions_probe(context: Context) -> Finding:
    """Asks nobody: port.api-tcp was told rtcd's, and the site file says the plugin's."""
    site, found, asked = context.site, rtcd_versions(context.results), context.results.get(API)
    plugin = _plugin(site)
    if asked is not None and not found:
        return Finding(status=Status.SKIP, summary=f"{API} did not pass", blocked_by=API)
    if not found and not plugin:
        return nothing_to_do("neither rtcd's version nor the plugin's is known")
    fitness = {host: rtcd_version.fitness(version) for host, version in found.items()}
    minimum = rtcd_version.shown(rtcd_version.MINIMUM)
    rows = [{"address": host, "version": found[host], "fitness": str(one)} for host, one in fitness.items()]
    evidence: Evidence = {"rtcd": rows, "rtcd_minimum": minimum, "plugin": plugin}
    target = site.rtcd_url if found else ""
    if old := [host for host, one in fitness.items() if one is Fitness.TOO_OLD]:
        summary = (
            f"rtcd {found[old[0]]} at {old[0]} is older than {minimum}, and the Calls plugin does not start with it"
        )
        return Finding(status=Status.FAIL, summary=summary, target=target, evidence=evidence)
    if odd := [host for host, one in fitness.items() if one is Fitness.UNREADABLE]:
        summary = f"rtcd at {odd[0]} names no release: {found[odd[0]]}"
        return Finding(status=Status.UNKNOWN, summary=summary, target=target, evidence=evidence)
    mended = KNOWN_BAD.get(plugin.removeprefix("v"))
    if mended and site.mode in SEVERAL_NODES:
        summary = f"plugin {plugin} puts callers on several Mattermost nodes into calls apart: {mended} mends it"
        return Finding(status=Status.WARN, summary=summary, target=target, evidence=evidence)
    said = [f"plugin {plugin}"] if plugin else []
    said += [f"rtcd {found[host] or 'unnamed'} ({_WORDS[one]})" for host, one in fitness.items()]
    summary = ", ".join(dict.fromkeys(said))
    return Finding(status=Status.PASS, summary=summary, target=target, evidence=evidence)


_WORDS = {
    Fitness.NEW_ENOUGH: f"at least {rtcd_version.shown(rtcd_version.MINIMUM)}",
    Fitness.UNJUDGED: "a build that the plugin takes unjudged",
}


def _plugin(site: Site) -> str:
    return str(site.settings[PLUGIN].value or "") if PLUGIN in site.settings else ""


def _no_version(site: Site) -> str:
    return "" if site.rtcd_url or _plugin(site) else "neither rtcd nor the plugin's version was named"


CHECKS = (
    CheckSpec(
        id="config.versions",
        title="The versions of rtcd and the Calls plugin go together",
        probe=versions_probe,
        uses=(API,),
        phases=NETWORK_PHASES,
        nothing_to_do=_no_version,
        fails_when="rtcd at any address is older than the plugin's minimum: the plugin starts with none then. It warns "
        "of releases of the plugin that are known to break calls in this mode ([mattermost] plugin_version).",
    ),
)
