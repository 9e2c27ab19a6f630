"""A click command whose help has its options under headings, and examples before everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar  # click's own signatures

import click

F = TypeVar("F", bound=Callable[..., Any])


class SectionOption(click.Option):
    """An option that stands under a heading of its own in the help."""

    def __init__(self, *args: Any, section: str = "Other", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def option(section: str, *names: str, **settings: Any) -> Callable[[F], F]:
    """`click.option`, under a heading."""
    return click.option(*names, cls=SectionOption, section=section, **settings)


class SectionedCommand(click.Command):
    """`examples` are (command, what it does)."""

    def __init__(self, *args: Any, examples: tuple[tuple[str, str], ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._examples = examples

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, then the examples; a command stands on one line at any width, so that it can be copied."""
        super().format_usage(ctx, formatter)
        with formatter.section("Examples"):
            for command, does in self._examples:
                formatter.write(f"{'':>{formatter.current_indent}}{command}\n")
                with formatter.indentation():
                    formatter.write_text(does)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list per heading, in the order in which headings first appear."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Other"), []).append(record)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
