"""Causes of names: what DNS says, or does not, declared; `name_signs` reads them. Pure."""

from __future__ import annotations

from calls_doctor.diagnosis.cause import Cause
from calls_doctor.diagnosis.name_signs import named
from calls_doctor.model.flow import Party
from calls_doctor.model.report import Impact, Remedy

WHOSE = (
    "On the machine where it shows: `dig +trace NAME A` asks the zone's own servers: where they give the right "
    "address, the resolver here is at fault; where they do not, the zone. Or run the same check from a second network"
)
"""The deciding test."""
USE_AN_ADDRESS = "For the ICE host override an IP address needs no DNS: the media host looks a name up for each session"
GUIDE = ["1.3.1", "2A.2.3"]

CAUSES = (
    Cause(
        id="dns.nxdomain",
        party=Party.DNS_ZONE,
        impact=Impact.NO_CALLS,
        meaning="A name does not exist (NXDOMAIN), or has no address.",
        predicts=named("dns.nxdomain"),
        remedy=Remedy(
            summary="Give the name an address, or use the right name",
            steps=[
                "In the zone: add the A record (and AAAA where IPv6 works), or correct the name in the settings",
                "A name that exists inside only must be in the public zone too, where callers outside use it",
                USE_AN_ADDRESS,
            ],
            guide_steps=GUIDE,
        ),
        deciding_test=WHOSE,
    ),
    Cause(
        id="dns.servfail",
        party=Party.DNS_ZONE,
        impact=Impact.NO_CALLS,
        meaning="Resolvers answer SERVFAIL, or refuse to answer.",
        predicts=named("dns.servfail"),
        remedy=Remedy(
            summary="Mend the zone, or the resolver that cannot resolve it",
            steps=[
                "On the machine where it shows: `dig +cd NAME`: where that gives an address, the zone's DNSSEC is "
                "broken, and `delv NAME` says how",
                "Where it gives none, see that the zone's own servers answer, and look into the resolver's log",
                USE_AN_ADDRESS,
            ],
            guide_steps=GUIDE,
        ),
        deciding_test=WHOSE,
    ),
    Cause(
        id="dns.timeout",
        party=Party.DNS_RESOLVER,
        impact=Impact.NO_CALLS,
        meaning="A resolver does not answer.",
        predicts=named("dns.timeout"),
        remedy=Remedy(
            summary="Let this machine reach a resolver that answers",
            steps=[
                "On the machine where it shows: `resolvectl status`, or /etc/resolv.conf: take a resolver that is "
                "silent out of it, or mend it",
                "Allow UDP and TCP 53 from here to the resolver, and from the resolver to the internet",
                USE_AN_ADDRESS,
            ],
            firewall_rows=["FW-51"],
            guide_steps=GUIDE,
        ),
        deciding_test=WHOSE,
    ),
    Cause(
        id="dns.slow",
        party=Party.DNS_RESOLVER,
        impact=Impact.DEGRADED,
        meaning="A name is looked up in more than two seconds.",
        predicts=named("dns.slow"),
        remedy=Remedy(
            summary="Use a resolver that answers at once",
            steps=[
                "On the machine where it shows: `dig NAME` tells the query time; put a fast resolver first in "
                "/etc/resolv.conf",
                "Look for a resolver upstream that is silent, and for IPv6 that the resolver tries in vain",
                USE_AN_ADDRESS,
            ],
            guide_steps=GUIDE,
        ),
        deciding_test=WHOSE,
    ),
    Cause(
        id="dns.private-answer",
        party=Party.DNS_ZONE,
        impact=Impact.NO_CALLS,
        meaning="A name gives a private address to callers for whom that leads nowhere.",
        predicts=named("dns.private-answer"),
        remedy=Remedy(
            summary="Let the name give the public address outside, and where callers outside are handed it",
            steps=[
                "In the public zone: the public address. A private one belongs into the internal view alone (split "
                "DNS), and into no /etc/hosts of a media host whose override is that name",
                USE_AN_ADDRESS,
            ],
            guide_steps=GUIDE,
        ),
        deciding_test=WHOSE,
    ),
    Cause(
        id="dns.wrong-answer",
        party=Party.DNS_ZONE,
        impact=Impact.NO_CALLS,
        meaning="A name leads to an address where the media host is not.",
        predicts=named("dns.wrong-answer"),
        remedy=Remedy(
            summary="Let the name lead to the media host",
            steps=[
                "In the zone: replace the address; a proxy or CDN before the name carries HTTP only, and no media",
                "On the machine where it shows: `dig NAME` shows for how many seconds the old answer is still kept; "
                "wait so long, or flush the resolver's cache",
                USE_AN_ADDRESS,
            ],
            guide_steps=GUIDE,
        ),
        deciding_test=WHOSE,
    ),
    Cause(
        id="dns.stale-record",
        party=Party.DNS_ZONE,
        impact=Impact.SOME_CALLERS,
        meaning="One of several addresses of a name is dead.",
        predicts=named("dns.stale-record"),
        remedy=Remedy(
            summary="Take the dead address out of the name, or bring its host back",
            steps=[
                "On that host, where it is one of yours: start what should listen there; before the install "
                "`calls-doctor serve` answers in its place",
                "Else remove its record, and let health checks do so in future",
            ],
            guide_steps=GUIDE,
        ),
        deciding_test=WHOSE,
    ),
    Cause(
        id="dns.ipv6-dead",
        party=Party.DNS_ZONE,
        impact=Impact.DEGRADED,
        meaning="A name has an IPv6 address where nothing answers, while IPv4 works.",
        predicts=named("dns.ipv6-dead"),
        remedy=Remedy(
            summary="Make IPv6 work to the end, or remove the AAAA record",
            steps=[
                "Allow the same ports over IPv6 as over IPv4, at every firewall, and let the service listen there",
                "Or remove the AAAA record: callers with IPv6 try it first",
            ],
        ),
        deciding_test="On a machine in a second network with IPv6: `calls-doctor check --only "
        "dns.site,dns.media-names`, with the same settings; where IPv6 works there, it is broken here",
    ),
)
