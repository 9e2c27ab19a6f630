"""Who may open a session at the stand-in: whoever holds the run's key (contract section 4). It opens nothing itself."""

from __future__ import annotations

from calls_doctor.errors import StunError
from calls_doctor.sfu.session import Grant
from calls_doctor.wire.direct import ECHO_SSRC, Fragment, Keys, forwarded_ssrc


class Admission:
    """Judges user name fragments by the key, and counts those of other runs."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.foreign_runs = 0
        """Requests whose fragment names another run: an old link, or somebody else's."""
        self.unreadable = 0
        """Requests whose fragment is none of ours: another program's."""

    def __call__(self, fragment_text: str) -> Grant | None:
        """What the fragment may open once its password was proven; None: nothing."""
        try:
            fragment = Fragment.parse(fragment_text)
        except StunError:
            self.unreadable += 1
            return None
        if fragment.run != self._keys.run:
            self.foreign_runs += 1
            return None
        return Grant(
            session=fragment.session,
            password=self._keys.password(fragment_text),
            peer_fingerprint=fragment.digest,
            call=fragment.call if fragment.is_conference else None,
            publishes_as=forwarded_ssrc(fragment.session) if fragment.is_conference else ECHO_SSRC,
            leg=fragment.leg,
        )
