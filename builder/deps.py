"""`python -m builder.deps PROJECT_DIR OUT_DIR`: build the deps PEX of a project."""

from __future__ import annotations

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    runs="builder.building.deps:build_deps_pex",
    short_help="Build the deps PEX of a project.",
    examples=("builder.deps . out", "builder.deps . out --extra aws --python-version 3.12 --report"),
)
@options.project_argument
@options.out_argument
@options.wanted_options
@options.target_options
@options.report_option
@verbosity_options
def main() -> None:
    """Write deps-HASH.pex, with everything that the project in PROJECT_DIR needs and nothing of the project.

    Beside it, deps-HASH.pylock.toml says what is in it, and so does deps-HASH.cdx.json, a CycloneDX document with
    licences. HASH is the identity of the lock.
    """


if __name__ == "__main__":
    run_command(main, "builder.deps")
