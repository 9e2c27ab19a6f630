"""What the command line asked for, as text where the site's sources read it; whoever asks otherwise builds the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Request:
    """One wish for a run. "" and empty: not asked for."""

    site: str = ""
    """A site file; "": `./calls-doctor.toml` if it is there."""
    mode: str = ""
    vantage: str = ""
    label: str = ""
    phase: str = ""
    peers: tuple[str, ...] = field(default=(), repr=False)
    """Pairing links, `-` for standard input, `@FILE`; not in the repr, since a link opens its stand-in."""
    mattermost: str = ""
    """The site's URL."""
    rtcd_url: str = ""
    stun: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    skip: Mapping[str, str] = field(default_factory=dict)
    """Id or category -> reason, "" for none."""
    wait_s: float = 0.0
    """How long the far ends may take to come up."""
    timeout_s: float | None = None
    """A bound on the whole run; None: each check's own limits alone."""
    media_time_s: float | None = None
    """None: 0.3 s in the self-test, 3 s otherwise, 30 s with `thorough`."""
    thorough: bool = False
    self_test: bool = False
    no_register: bool = False
    """No client of this run's own at an rtcd that registers whoever asks."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    """As typed, links already cut."""
    again: str = ""
    """The same to be typed once more, LINK in the place of each link."""
