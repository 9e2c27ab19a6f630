"""`calls-doctor explain ID`: what a check, a cause, a guide step or a firewall row means, from the data itself."""

from __future__ import annotations

import click

from calls_doctor.cli.sections import SectionedCommand


@click.command(
    cls=SectionedCommand,
    examples=(
        ("calls-doctor explain port.rtc-udp-echo", "a check: what it proves, what its failure means"),
        ("calls-doctor explain media.udp-blocked-inbound", "a cause: whose it is, what mends it"),
        ("calls-doctor explain 1.6.3", "a step of the official guide"),
    ),
)
@click.argument("identifier", metavar="[ID]", default="")
@click.option("--no-color", is_flag=True, help="No colours; NO_COLOR does the same.")
def command(identifier: str, no_color: bool) -> int:
    """Explains a check, a cause, a guide step or a firewall row, offline.

    A category (turn) names all of its kind, and no ID at all everything that can be explained.
    """
    import sys

    from calls_doctor.cli.explanation import explanation
    from calls_doctor.cli.output import style_for

    sys.stdout.write(explanation(identifier, style_for(sys.stdout, no_color=no_color)))
    return 0
