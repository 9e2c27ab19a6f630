"""How a check is declared, and what its probe is given.

A check is data: one `CheckSpec` in the CHECKS tuple of its category's file. Nothing registers itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from calls_doctor.model.books import SessionBooks
from calls_doctor.model.check import API, CheckResult, Evidence, Finding, Status
from calls_doctor.model.credentials import Credentials, Secret, TurnCredentials
from calls_doctor.model.facts import Facts
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, ServerUri, Site
from calls_doctor.net.path_lock import PathLock
from calls_doctor.net.relay import Relays
from calls_doctor.net.rtcd_registration import RtcdRegistration

if TYPE_CHECKING:  # its import costs 90 ms of OpenSSL, which `explain` and `--list` do without
    from calls_doctor.net.paired import PairedHost


NETWORK_PHASES = frozenset(Phase) - {Phase.OFFLINE, Phase.SELF_TEST}
"""Those in which there is a network to test."""
PAIRED_PHASES = frozenset({Phase.PRE})
"""Those in which a stand-in tells of its machine."""
UNTOLD = Finding(status=Status.UNKNOWN, summary="no path brought what the stand-in has to tell")
UNAUTHORISED, OTHER_CERTIFICATE, OTHER_NETWORK = "unauthorised", "other-certificate", "other-network"
"""Words of trouble that say nothing of the network: the link is not that of whoever listens there."""
RTCD_CALLS = ("media.call-udp", "media.call-tcp", "media.call-relay")
"""What goes through rtcd itself, where it was named and no stand-in."""
WAYS = {
    "to_far": "to the far end",
    "from_far": "from the far end",
    "there_and_back": "through the far end",
}
"""The rows of a call's evidence that count its media, by the way it went."""


def no_registration() -> RtcdRegistration:
    """Where nothing is to be registered."""
    return RtcdRegistration("", None, lambda _text: None)


async def nothing_told() -> Facts | None:
    """Where there is no stand-in to ask."""
    return None


@dataclass(frozen=True)
class TurnServers:
    """Which TURN servers are tested."""

    uris: tuple[ServerUri, ...]
    stands_in: bool = False
    """It is the stand-in's own, which says that it listens: nobody's settings are to blame."""
    why_none: str = ""
    """Where there are none."""


@dataclass(frozen=True)
class Context:
    """All that a check is given. It never prints, exits or reads a file."""

    site: Site
    credentials: Credentials
    results: Mapping[str, CheckResult]
    """Results of what it needs and uses, by id; only those are there."""
    paired: PairedHost | None
    """The stand-in that a link was given for: of several media hosts the one that this check is about."""
    media_time_s: float
    """How long a call's media flows."""
    thorough: bool
    asked_for: frozenset[str] = frozenset()
    """Ids of checks that the user named: one that loads the line as nobody wants unasked may do so then."""
    others: Sequence[PairedHost] = ()
    """The stand-ins of the other media hosts, where several are tested."""
    told: Callable[[], Awaitable[Facts | None]] = nothing_told
    """Asks the stand-in what it tells of its machine, once for the whole run; None where it cannot be asked."""
    relays: Relays = field(default_factory=Relays)
    """What the run has open at TURN servers; whoever made it closes it."""
    rtcd_path: PathLock = field(default_factory=PathLock)
    """Held by a call through rtcd: it is given no more than one of ours at a time."""
    registration: RtcdRegistration = field(default_factory=no_registration)
    """The client that this run is at an rtcd which registers whoever asks; whoever made it undoes it."""
    told_between_s: Callable[[], tuple[float, float] | None] = lambda: None
    """Between which times of this machine's wall clock it told, in seconds since 1970; None where it has not."""
    near_books: list[SessionBooks] = field(default_factory=list)
    """A check adds its own books of each session it had."""

    @property
    def link_trouble(self) -> str:
        """Why the link, and not the network, leaves nothing to find; "" where it does not. The self-test's own does
        not. Known once the echoes have been tried."""
        if self.paired is None or self.site.phase is Phase.SELF_TEST:
            return ""
        return UNAUTHORISED if self.paired.disowned else OTHER_NETWORK if self.paired.elsewhere else ""

    async def turn(self) -> TurnServers:
        """The site's; where it names none, what the stand-in serves or names."""
        if self.site.turn:
            return TurnServers(self.site.turn)
        facts = await self.told()
        if facts is None:
            return TurnServers((), why_none=UNTOLD.summary)
        if facts.turn_servers:
            return TurnServers(tuple(facts.turn_servers))
        if not facts.turn_port:
            return TurnServers((), why_none="the stand-in offers no TURN server: serve --as media --as turn, or --turn")
        ways = [(media.host, transport) for media in self.site.media[:1] for transport in ("udp", "tcp")]
        uris = (ServerUri(scheme="turn", host=host, port=facts.turn_port, transport=way) for host, way in ways)
        return TurnServers(tuple(uris), stands_in=True)

    async def turn_credentials(self) -> Credentials:
        """Those of the environment for the servers that were named here, else those that the stand-in made."""
        given = self.credentials
        if self.site.turn and (given.turn or given.turn_secret):
            return given
        facts = await self.told()
        if facts is None or not facts.turn_credential or not set(self.site.turn) <= set(facts.turn_servers):
            return given
        return replace(given, turn=TurnCredentials(facts.turn_username, Secret(facts.turn_credential)))


LINK_TROUBLES = {
    UNAUTHORISED: "TCP connects and is closed at the first frame: what listens there does not know this link (it is "
    "another run's), or is no `calls-doctor serve`",
    OTHER_NETWORK: "the link's address is private and this machine is on another network: give `serve --host` the "
    "public one",
}


def nothing_behind(link_trouble: str, echo: str) -> Finding:
    """For a check that this echo has left nothing to find, since the link leads nowhere."""
    return Finding(status=Status.SKIP, summary=LINK_TROUBLES[link_trouble], blocked_by=echo)


def nothing_to_do(why: str) -> Finding:
    """What a probe finds where only the stand-in could tell that there is nothing for it: listed as not tested, and so
    are those that need it."""
    return Finding(status=Status.SKIP, summary=why, evidence={"nothing_to_do": True})


Probe = Callable[[Context], Awaitable[Finding]]
Weighed = Callable[[Site, Finding, Mapping[str, CheckResult]], Finding]
"""What a failure comes to beside other results."""


@dataclass(frozen=True, kw_only=True)
class AtRtcd:
    """The same check where rtcd's API was named and no stand-in's link given: from wherever that is to be asked."""

    probe: Probe
    nothing_to_do: Callable[[Site], str]
    needs: Sequence[str]
    uses: Sequence[str] = ()
    packets_max: int = 240
    """A healthy path takes fifty. On one that loses, handshakes are sent again, and sessions are watched closely until
    they are in."""
    timeout_s: float = 120.0
    """Of three calls that come one after the other on a path that loses a fifth, the last."""


@dataclass(frozen=True, kw_only=True)
class CheckSpec:
    """One check, declared."""

    id: str
    """`category.slug`, permanent, never reused."""
    title: str
    """A sentence that is true when the check passes."""
    probe: Probe
    needs: Sequence[str] = ()
    """Ids that must not have failed; where one did, or was skipped, this one is skipped."""
    anyway: bool = False
    """Made whatever its needs came to: it judges what they have left."""
    uses: Sequence[str] = ()
    """Ids whose results are wanted first where they run at all, whatever came of them."""
    weighed: Weighed | None = None
    weighed_by: Sequence[str] = ()
    """How bad a failure is, and the ids whose results tell: they run beside the probe, and are waited for after it
    where it has failed."""
    vantages: frozenset[Role] = frozenset(Role)
    phases: frozenset[Phase] = frozenset(Phase) - {Phase.OFFLINE}
    nothing_to_do: Callable[[Site], str] = lambda _site: ""
    """Why this site gives the check nothing to do; "" where it does."""
    targets: Callable[[Site], Sequence[str]] = lambda _site: ()
    """Where it goes, for `check --list`."""
    about_host: bool = False
    """True: made once for each media host that is tested; False: once for the run."""
    about_host_where: Callable[[Site], bool] = lambda _site: False
    """The same for some sites alone."""
    at_rtcd: AtRtcd | None = None
    """What the check is where rtcd itself was named; None: no other than everywhere."""
    thorough_only: bool = False
    """It takes longer than anybody who looks on waits: `--thorough` runs it."""
    on_request: bool = False
    """It loads the line as nobody wants unasked: only who names it by its id (`--only`) has it run."""
    required: bool = False
    """An `unknown` here means that a required flow could not be decided (exit code 4)."""
    guide_steps: Sequence[str] = ()
    packets_max: int = 0
    """At most so many packets are sent to each target, RTP aside."""
    rtp: str = ""
    """When and for how long RTP flows beside them, "" for never; {media_time} stands for how long a call lasts."""
    rtp_packets_per_s: int = 50
    """Of it, each way in each session: a voice's."""
    reworded: Callable[[Evidence], str] | None = None
    """The sentence again for evidence to which a merged report's books added what arrived; None where it says nothing
    of that."""
    timeout_s: float = 5.0
    """The probe is cancelled then, which is our own fault: probes keep shorter deadlines of their own."""
    fails_when: str = ""
    """For `explain`: what is seen when it does not pass, and what that means."""

    def of(self, site: Site) -> CheckSpec:
        """The check as this site has it."""
        there = self.at_rtcd
        if there is None or site.paired or not site.rtcd_url or site.phase is Phase.SELF_TEST:
            return self
        return replace(
            self,
            probe=there.probe,
            needs=there.needs,
            uses=there.uses,
            nothing_to_do=there.nothing_to_do,
            packets_max=there.packets_max,
            timeout_s=there.timeout_s,
            about_host=False,
            vantages=frozenset(Role),
            phases=NETWORK_PHASES,
            targets=lambda site: [site.rtcd_url],
        )

    @property
    def category(self) -> str:
        return self.id.split(".")[0]

    @property
    def sends(self) -> str:
        """The bound as a reader is told it."""
        return (
            f"at most {self.packets_max} packets to each target, the RTP of calls aside"
            if self.packets_max
            else "nothing"
        )


def heard_nothing(result: CheckResult) -> bool:
    """True where probes were sent and neither an answer nor an error came: the same silence need not be waited out
    again."""
    return result.evidence.get("trouble") == "silent" and not result.evidence.get("returned")


def no_link(site: Site) -> str:
    """Why a site without a stand-in gives a call nothing to do."""
    return "" if site.paired else "no stand-in to test against: give its link with --peer"


def no_far_end(site: Site) -> str:
    """The same where there is no rtcd either."""
    return "" if site.paired else f"{no_link(site)}, or rtcd's API with --rtcd-url"


def over_loopback(site: Site) -> str:
    """Why a trial on one machine tells nothing of what callers find; the self-test says so itself."""
    return "the stand-in is asked over loopback, where no caller comes from" if site.over_loopback else ""


def no_tcp(site: Site) -> str:
    """The same where nobody wants TCP to the media port."""
    return "" if any(media.tcp_port for media in site.media) else "TCP is not wanted: tcp_port is 0"


def no_site(site: Site) -> str:
    """The same where nobody said where the Mattermost site is."""
    return "" if site.mattermost_url else "no Mattermost site was named: give it with --mattermost"


def no_site_address(context: Context) -> Finding | None:
    """The skip of what goes to the site, where dns.site found no address under its name."""
    names = _site_names(context)
    if not names or any(row["addresses"] for row in names):
        return None
    return Finding(status=Status.SKIP, summary="the site's name has no address here", blocked_by="dns.site")


def site_address(context: Context) -> str:
    """The first address of the site's name that took a connection, where dns.site saw one: callers go on to the next
    address when one is dead. "" else."""
    return next((one["address"] for row in _site_names(context) for one in row["addresses"] if one["answers"]), "")


def _site_names(context: Context) -> Sequence[Evidence]:
    looked_up = context.results.get("dns.site")
    names: Sequence[Evidence] = looked_up.evidence.get("names", ()) if looked_up else ()
    return names


def no_rtcd_api(site: Site) -> str:
    """The same where nobody said where rtcd's API is, or where this machine is none that asks it."""
    if not site.rtcd_url:
        return "no rtcd API was named: give it with --rtcd-url"
    judged_here = site.mode is None or site.phase is Phase.SELF_TEST or site.vantage is Role.MATTERMOST
    return "" if judged_here else "rtcd's API is for the Mattermost nodes; it is judged from there"


def rtcd_versions(results: Mapping[str, CheckResult]) -> dict[str, str]:
    """Address -> what rtcd calls itself there, for every address at which port.api-tcp had its answer."""
    found = results.get(API)
    rows: Sequence[Evidence] = (found.evidence.get("addresses") or [found.evidence]) if found else ()
    return {row["address"]: row["version"] for row in rows if row.get("version") is not None}


def no_stun(site: Site) -> str:
    """The same where no STUN server was named."""
    return "" if site.stun else "no STUN server was named: give it with --stun"


def no_stun_answer(context: Context) -> Finding | None:
    """The skip of what builds on STUN, where stun.reach only warns that no server answered."""
    reach = context.results.get("stun.reach")
    if reach is None or any(row["answered"] for row in reach.evidence["servers"]):
        return None
    return Finding(status=Status.SKIP, summary="no STUN server answered", blocked_by="stun.reach")


def no_turn(site: Site) -> str:
    """The same where no TURN server was named, and no stand-in may name one."""
    return "" if site.turn or site.paired else "no TURN server was named: give it with --turn"


def turn_by_stand_in(site: Site) -> bool:
    """True where each stand-in tells which TURN server is tested with it."""
    return site.paired and not site.turn


def turn_targets(site: Site) -> Sequence[str]:
    """Where checks of TURN go, for `check --list`."""
    return [str(uri) for uri in site.turn] or ["the TURN server that the stand-in tells of"]


CALL_RTP = "for {media_time} in each session"
"""How long a call's media flows, for `check --list`."""
