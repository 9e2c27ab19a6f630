"""Several machines in one network: a caller behind NAT, a router, the servers' firewall with the media host behind it,
an outside caller with a public address and one inside. Needs root, ip and nft; nothing of it is left behind.

    caller -- nat [-- carrier] -- router -- firewall -- server
                                  |            |
                               outside       inside

Every machine is a network namespace; the cables are veth pairs made inside them, so the machine that runs the tests
gets no interface, no route and no rule. There is no way out. Addresses are drawn from a seed, public ones from
RFC 5737's documentation ranges. Names stand in each machine's own hosts file.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import random
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

COMMAND_LIMIT_S = 25.0
ETC = Path("/etc/netns")
PUBLIC = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
CHAINS = """
table ip lab {
    chain through { type filter hook forward priority 0; policy accept; }
    chain in { type filter hook input priority 0; policy accept; }
    chain out { type filter hook output priority 0; policy accept; }
    chain before { type nat hook prerouting priority -100; policy accept; }
    chain after { type nat hook postrouting priority 100; policy accept; }
}
"""


class Nat(StrEnum):
    """How the caller's NAT maps."""

    PORT_RESTRICTED = "masquerade"
    SYMMETRIC = "masquerade fully-random"
    FULL_CONE = "a static map of one address"
    ADDRESS_RESTRICTED = "a static map of one address, for those it has sent to"
    DOUBLE = "a home router behind a carrier's NAT"
    SYMMETRIC_TWICE = "the same, and both are symmetric"


TWO_NATS = (Nat.DOUBLE, Nat.SYMMETRIC_TWICE)


class Behind(StrEnum):
    """How the media host has its public address."""

    ROUTED = "its own address is public"
    MAPPED = "1:1 NAT at the firewall, which also reflects"
    MAPPED_NO_HAIRPIN = "1:1 NAT at the firewall, for what comes from outside alone"


class Machine:
    """One namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespace = f"cdlab-{secrets.token_hex(4)}"

    def known_as(self, name: str) -> Machine:
        """The same machine under another name, for a second program on it."""
        same = Machine(name)
        same.namespace = self.namespace
        return same

    def command(self, words: Sequence[str]) -> list[str]:
        """What runs a command on this machine."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def nft(self, script: str) -> None:
        """Loads rules."""
        _run(self.command(["nft", "-f", "-"]), script)

    def rule(self, chain: str, rule: str) -> None:
        """Adds one rule: `through` is what is forwarded, `in` and `out` what is this machine's own."""
        self.nft(f"add rule ip lab {chain} {rule}\n")

    def ip(self, script: str) -> None:
        """Runs lines of `ip`."""
        _run(["ip", "-n", self.namespace, "-batch", "-"], script)

    def shape(self, port: str, discipline: str) -> None:
        """What leaves by this port queues as tc(8) says."""
        _run(["tc", "-n", self.namespace, "qdisc", "replace", "dev", port, "root", *discipline.split()])

    def sysctl(self, *settings: str) -> None:
        """Sets what the kernel keeps for each namespace: `net.ipv4.ip_forward=1`."""
        _run(self.command(["sysctl", "-qw", *settings]))

    def hosts(self, text: str) -> None:
        """This machine's hosts file (ip-netns(8)): commands that start from now on see it."""
        directory = ETC / self.namespace
        directory.mkdir(parents=True)
        (directory / "hosts").write_text(text)

    def remove(self) -> None:
        """The namespace, with all that was made for it."""
        subprocess.run(["ip", "netns", "delete", self.namespace], capture_output=True, check=False)
        shutil.rmtree(ETC / self.namespace, ignore_errors=True)
        with contextlib.suppress(OSError):  # others' are in it, or it is gone
            ETC.rmdir()


@dataclass(frozen=True)
class Addresses:
    """All that is drawn; `str` prints it."""

    caller: str
    home: str
    """The NAT's address inside."""
    carrier_inside: str
    home_outside: str
    """The NAT's address towards a carrier's NAT."""
    nat: str
    """By which the caller is seen."""
    nat_gateway: str
    outside: str
    outside_gateway: str
    firewall: str
    firewall_gateway: str
    public: str
    """The media host's address for callers."""
    server: str
    """Its own: the same where it is routed."""
    server_gateway: str
    inside: str
    inside_gateway: str
    other: str
    """A second address beside the media host, which nobody has."""
    name: str
    """By which every machine knows the media host's address for callers."""
    port: int
    """A media port, below those that systems hand out."""


def draw_seed() -> int:
    """What CALLS_DOCTOR_LAB_SEED says, else a fresh one."""
    return int(os.environ.get("CALLS_DOCTOR_LAB_SEED", "") or secrets.randbelow(10_000))


def draw(seed: int, behind: Behind) -> Addresses:
    """Addresses for one lab."""
    chance = random.Random(seed)
    blocks = [ipaddress.IPv4Network(one) for one in PUBLIC]
    chance.shuffle(blocks)
    access, callers, servers = (chance.choice(list(block.subnets(new_prefix=27))) for block in blocks)
    home, office, inside = (
        ipaddress.IPv4Network(f"10.{10 * place + chance.randrange(10)}.{chance.randrange(256)}.0/24")
        for place in (1, 2, 3)
    )
    carrier = ipaddress.IPv4Network(f"100.{chance.randrange(64, 128)}.{chance.randrange(256)}.0/24")
    # The servers' block has two halves: the line to the firewall, and what lies behind it.
    line, behind_it = servers.subnets(new_prefix=28)
    lan = behind_it if behind is Behind.ROUTED else office
    server = str(lan[chance.randrange(2, 8)])
    return Addresses(
        caller=str(home[chance.randrange(2, 200)]),
        home=str(home[1]),
        carrier_inside=str(carrier[1]),
        home_outside=str(carrier[chance.randrange(2, 200)]),
        nat=str(access[chance.randrange(2, 14)]),
        nat_gateway=str(access[1]),
        outside=str(callers[chance.randrange(2, 14)]),
        outside_gateway=str(callers[1]),
        firewall=str(line[2]),
        firewall_gateway=str(line[1]),
        public=server if behind is Behind.ROUTED else str(line[chance.randrange(3, 14)]),
        server=server,
        server_gateway=str(lan[1]),
        inside=str(inside[chance.randrange(2, 200)]),
        inside_gateway=str(inside[1]),
        other=str(lan[9]),
        name=f"rtc-{chance.randrange(1000)}.example.org",
        port=chance.randrange(10_000, 32_768),
    )


@dataclass
class Network:
    """`with network(seed, nat, behind) as net: net.firewall.rule("through", "udp dport 8443 drop")`"""

    addresses: Addresses
    caller: Machine = field(default_factory=lambda: Machine("caller"))
    nat: Machine = field(default_factory=lambda: Machine("nat"))
    carrier: Machine = field(default_factory=lambda: Machine("carrier"))
    router: Machine = field(default_factory=lambda: Machine("router"))
    firewall: Machine = field(default_factory=lambda: Machine("firewall"))
    server: Machine = field(default_factory=lambda: Machine("server"))
    outside: Machine = field(default_factory=lambda: Machine("outside"))
    inside: Machine = field(default_factory=lambda: Machine("inside"))

    @property
    def machines(self) -> list[Machine]:
        """All of them."""
        ends = [self.caller, self.outside, self.inside, self.server]
        return [*ends, self.nat, self.carrier, self.router, self.firewall]


@contextlib.contextmanager
def network(seed: int, nat: Nat = Nat.PORT_RESTRICTED, behind: Behind = Behind.ROUTED) -> Iterator[Network]:
    """The whole network, wired and with its NATs; it is taken down on every way out."""
    net = Network(draw(seed, behind))
    try:
        _run(["ip", "-batch", "-"], "".join(f"netns add {one.namespace}\n" for one in net.machines))
        for machine in net.machines:
            machine.ip("link set lo up\n")
            machine.nft(CHAINS)
            machine.hosts(f"127.0.0.1 localhost\n{net.addresses.public} {net.addresses.name}\n")
        for machine in (net.nat, net.carrier, net.router, net.firewall):
            machine.sysctl("net.ipv4.ip_forward=1")
        _wire(net, nat)
        _translate(net, nat, behind)
        yield net
    finally:
        for machine in net.machines:
            machine.remove()


def lose_one_percent(net: Network) -> None:
    """Of all packets on the caller's access line, each way, at random."""
    for way in ("iifname", "oifname"):
        net.router.rule("through", f'{way} "access" numgen random mod 100 == 0 drop')


def _wire(net: Network, nat: Nat) -> None:
    at = net.addresses
    _cable(net.caller, f"{at.caller}/24", net.nat, f"{at.home}/24", "inside")
    if nat in TWO_NATS:
        _cable(net.nat, f"{at.home_outside}/24", net.carrier, f"{at.carrier_inside}/24", "inside", near="outside")
        _cable(net.carrier, f"{at.nat}/27", net.router, f"{at.nat_gateway}/27", "access", near="outside")
        net.nat.ip(f"route add default via {at.carrier_inside}\n")
        net.carrier.ip(f"route add default via {at.nat_gateway}\n")
    else:
        _cable(net.nat, f"{at.nat}/27", net.router, f"{at.nat_gateway}/27", "access", near="outside")
        net.nat.ip(f"route add default via {at.nat_gateway}\n")
    _cable(net.outside, f"{at.outside}/27", net.router, f"{at.outside_gateway}/27", "callers")
    _cable(net.firewall, f"{at.firewall}/28", net.router, f"{at.firewall_gateway}/28", "servers", near="outside")
    prefix = 28 if at.public == at.server else 24
    _cable(net.server, f"{at.server}/{prefix}", net.firewall, f"{at.server_gateway}/{prefix}", "dmz")
    _cable(net.inside, f"{at.inside}/24", net.firewall, f"{at.inside_gateway}/24", "office")
    net.caller.ip(f"route add default via {at.home}\n")
    net.outside.ip(f"route add default via {at.outside_gateway}\n")
    net.server.ip(f"route add default via {at.server_gateway}\n")
    net.inside.ip(f"route add default via {at.inside_gateway}\n")
    net.firewall.ip(f"route add default via {at.firewall_gateway}\n")
    if at.public == at.server:
        net.router.ip(f"route add {at.server}/32 via {at.firewall}\n")


def _cable(one: Machine, address: str, other: Machine, other_address: str, port: str, *, near: str = "eth0") -> None:
    """A veth pair between two machines; `near` is its name on the first, `port` on the other."""
    one.ip(
        f"link add {near} type veth peer name {port} netns {other.namespace}\n"
        f"addr add {address} dev {near}\nlink set {near} up\n"
    )
    other.ip(f"addr add {other_address} dev {port}\nlink set {port} up\n")


def _translate(net: Network, nat: Nat, behind: Behind) -> None:
    at = net.addresses
    if nat in (Nat.FULL_CONE, Nat.ADDRESS_RESTRICTED):
        known = ""
        if nat is Nat.ADDRESS_RESTRICTED:
            net.nat.nft("add set ip lab known { type ipv4_addr; flags dynamic,timeout; timeout 60s; }\n")
            net.nat.rule("through", 'oifname "outside" update @known { ip daddr }')
            known = "ip saddr @known "
        net.nat.rule("after", f'oifname "outside" snat to {at.nat}')
        net.nat.rule("before", f'iifname "outside" {known}dnat to {at.caller}')
    else:
        is_symmetric = nat in (Nat.SYMMETRIC, Nat.SYMMETRIC_TWICE)
        masquerade = Nat.SYMMETRIC.value if is_symmetric else Nat.PORT_RESTRICTED.value
        net.nat.rule("after", f'oifname "outside" {masquerade}')
    if nat in TWO_NATS:
        net.carrier.rule("after", 'oifname "outside" masquerade fully-random')
    # As the guide asks: rtcd's API is for Mattermost nodes, which sit inside.
    net.firewall.rule("through", 'iifname "outside" tcp dport 8045 drop')
    # Who sits inside leaves by the firewall's own address, as in any office.
    net.firewall.rule("after", f'oifname "outside" ip saddr {at.inside} masquerade')
    if behind is Behind.ROUTED:
        return
    net.firewall.ip(f"addr add {at.public}/32 dev outside\n")
    only = "" if behind is Behind.MAPPED else 'iifname "outside" '
    net.firewall.rule("before", f"{only}ip daddr {at.public} dnat to {at.server}")
    net.firewall.rule("after", f'oifname "outside" ip saddr {at.server} snat to {at.public}')
    if behind is Behind.MAPPED:  # what is reflected comes back by the firewall
        net.firewall.rule("after", f'iifname "dmz" oifname "dmz" ip daddr {at.server} snat to {at.public}')


def _run(command: Sequence[str], script: str = "") -> str:
    done = subprocess.run(
        list(command), input=script, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}\n{script}")
    return done.stdout
