"""click commands and options with the builder's help format: examples first, options in groups, defaults."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

OUTPUT: Final = "Output"
"""The option group of output options, which includes `--help`."""

_WIDEST: Final = 100
"""Columns that help takes at most, however wide the terminal is."""

_NAMES: Final = 26
"""Columns for an option and what it takes; the text of a longer one begins on the next line."""

_GAP: Final = 2


class GroupedOption(click.Option):
    """An option that belongs to a group.

    :param group: the heading that its help stands under.
    :param default_text: what holds where the option is not given, in words; for one without a plain default.
    """

    def __init__(self, *args: Any, group: str, default_text: str | None = None, **attributes: Any) -> None:  # noqa: ANN401  (what click takes)
        super().__init__(*args, **attributes)
        self.group = group
        self.default_text = default_text

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option and its text, which ends in its default, and whether it must or may often be given."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        default = self.default_text or self._plain_default()
        facts = [
            *(["required"] if self.required else []),
            *([f"default: {default}"] if default else []),
            *(["repeatable"] if self.multiple else []),
        ]
        return record[0], f"{self.help}  [{'; '.join(facts)}]" if facts else self.help or ""

    def _plain_default(self) -> str:
        """The default as it would be written; nothing for a flag that is off, or for no value."""
        default = self.default
        if self.is_flag:
            chosen = self.opts if default is True else self.secondary_opts
            return chosen[0].lstrip("-") if self.secondary_opts else ""
        if isinstance(default, (list, tuple)):
            return ", ".join(map(str, default))
        # An option without a default has None or, as of click 8.3, a mark.
        return str(default) if isinstance(default, (str, int, float, os.PathLike)) else ""


def option(group: str, *names: str, **attributes: Any) -> Callable[[click.decorators.FC], click.decorators.FC]:  # noqa: ANN401  (what click takes)
    """`click.option` for a GroupedOption."""
    return click.option(*names, cls=GroupedOption, group=group, **attributes)


class BuilderCommand(click.Command):
    """A command whose help shows examples before anything long.

    :param examples: command lines, without what all have in front, `builder.pex -m`.
    :param runs: `module:function`, what does the work: it gets the values of all parameters by their names, and is
        imported only then, since help needs nothing of it. The decorated function holds the help alone.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), runs: str = "", **attributes: Any) -> None:  # noqa: ANN401  (what click takes)
        super().__init__(*args, **attributes)
        self.context_settings.setdefault("max_content_width", _WIDEST)
        self.examples = tuple(examples)
        self._runs = runs

    @property
    def work(self) -> Callable[..., object] | None:
        """The function that does the work."""
        module, _, function = self._runs.partition(":")
        return getattr(importlib.import_module(module), function) if function else self.callback

    def invoke(self, ctx: click.Context) -> object:
        """Do the work; returns the exit code, or None for 0."""
        self.callback = self.work
        return super().invoke(ctx)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, purpose, examples, details, and the options by group."""
        purpose, _, details = inspect.cleandoc(self.help or "").partition("\n\n")
        self.format_usage(ctx, formatter)
        _write_text(formatter, purpose)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    # Never wrapped: it is to be copied.
                    formatter.write(f"{'':{formatter.current_indent}}builder.pex -m {example}\n")
        if details:
            _write_text(formatter, details)
        self.format_options(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by group, all texts in one column; the group of output comes last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            # Arguments are explained in the text.
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                group = parameter.group if isinstance(parameter, GroupedOption) else OUTPUT
                groups.setdefault(group, []).append(record)
        lengths = [len(names) for records in groups.values() for names, _text in records]
        width = max(length for length in lengths if length <= _NAMES)
        formatter.write_paragraph()
        for group in sorted(groups, key=lambda name: name == OUTPUT):
            # No empty lines between groups: the whole should fit on a screen.
            formatter.write_heading(group)
            with formatter.indentation():
                padded = [(names.ljust(width), text) for names, text in groups[group]]
                formatter.write_dl(padded, col_max=width, col_spacing=_GAP)


class BuilderGroup(BuilderCommand, click.Group):
    """A command of several, whose help shows examples before anything long."""

    command_class = BuilderCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


def _write_text(formatter: click.HelpFormatter, text: str) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(text)
