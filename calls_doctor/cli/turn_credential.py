"""`calls-doctor turn-credential`: a TURN user name and credential from the shared secret in the environment."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

import click

from calls_doctor.cli.sections import SectionedCommand
from calls_doctor.errors import UsageError

LIFE_MAX_S = 7 * 86400.0
"""rtcd refuses a credential life of a week and more."""
FORMATS = ("text", "json")


@click.command(
    cls=SectionedCommand,
    examples=(
        ("CALLS_DOCTOR_TURN_SECRET_FILE=/etc/turn-secret calls-doctor turn-credential", "valid for a day"),
        ("calls-doctor turn-credential --valid-for 10m --name alice", "for ten minutes, under a name of your own"),
    ),
)
@click.option(
    "--valid-for", default="1440m", metavar="DURATION", show_default=True, help="From now on; 7 days at most."
)
@click.option("--name", default="calls-doctor", metavar="TEXT", show_default=True, help="After the expiry's colon.")
@click.option("--format", "format_name", default="text", metavar="FORMAT", help="text or json.")
def command(valid_for: str, name: str, format_name: str) -> int:
    """Makes what coturn's use-auth-secret takes: the user name is EXPIRY:NAME, the credential its HMAC-SHA1.

    The secret is the one that rtcd or the plugin shares with the TURN server, in CALLS_DOCTOR_TURN_SECRET or in the
    file that CALLS_DOCTOR_TURN_SECRET_FILE names. It is not printed.
    """
    import msgspec

    from calls_doctor.cli.output import one_of
    from calls_doctor.site import environment, options
    from calls_doctor.wire.turn import rest_credentials

    one_of(format_name, FORMATS, "--format")
    life_s = options.duration_s(valid_for, "--valid-for", minimum_s=1.0)
    if life_s > LIFE_MAX_S:
        raise UsageError(f"--valid-for: {options.shown(valid_for)} is longer than 7 days, which rtcd does not take")
    if not name or not name.isprintable() or " " in name:
        raise UsageError("--name: a name has printable characters and no spaces")
    secret = environment.credentials(os.environ).turn_secret
    if secret is None:
        raise UsageError(
            "no secret was given: set CALLS_DOCTOR_TURN_SECRET, or CALLS_DOCTOR_TURN_SECRET_FILE to its file"
        )
    expires_at_s = int(time.time() + life_s)
    made = rest_credentials(secret, expires_at_s, name)
    expires = datetime.fromtimestamp(expires_at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if format_name == "json":
        told = {"username": made.username, "credential": made.password.reveal(), "expires": expires}
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo(f"user name   {made.username}\ncredential  {made.password.reveal()}\nexpires     {expires}")
    return 0
