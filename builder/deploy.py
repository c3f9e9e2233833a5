"""`python -m builder.deploy WORKSPACE OUT_DIR`: build the locations of a workspace, and deploy them."""

from __future__ import annotations

from pathlib import Path

import click

from builder.delivery.options import delivery_options
from builder.terminal import options
from builder.terminal.command_line import OUTPUT, BuilderCommand, option
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    runs="builder.delivery.deploy:deploy",
    short_help="Build the locations of a workspace, and deploy them.",
    examples=(
        "builder.deploy dagster_cloud.yaml out",
        "builder.deploy . out --location etl --python-version 3.12",
        "builder.deploy . out --upload-pex --update-code-location",
        "builder.deploy out --built --upload --update-code-location",
    ),
)
# Both are looked for by `builder.delivery.deploy`: with --built the only one is OUT_DIR.
@click.argument("workspace", type=click.Path(path_type=Path), required=False, metavar="WORKSPACE")
@click.argument("out_dir", type=click.Path(path_type=Path), required=False, metavar="OUT_DIR")
@options.location_option(options.WHAT_TO_BUILD, "Only this location.")
@options.include_option
@options.wanted_options
@options.targets_options
@options.base_image_option
@option(
    options.WHAT_TO_BUILD,
    "--format",
    "asked",
    type=click.Choice(["auto", "pex", "image"]),
    default="auto",
    help="PEX files, images, or what the registry takes.",
)
@delivery_options
@option(OUTPUT, "--plan", "only_plan", is_flag=True, help="Print what would be done, without doing it.")
@options.json_option("Print the plan")
@options.report_option
@verbosity_options
def main() -> None:
    """Build every location in WORKSPACE into OUT_DIR, and deploy them if asked.

    WORKSPACE is a dagster_cloud.yaml, or a project or workspace of `dg`, or its directory. A location becomes two
    PEX files, or an image if it has a `registry` or the deployment takes no PEX files. With --built, OUT_DIR alone
    is enough. Dagster Cloud is found by DAGSTER_CLOUD_URL (or DAGSTER_CLOUD_ORGANIZATION) and
    DAGSTER_CLOUD_API_TOKEN.
    """


if __name__ == "__main__":
    run_command(main, "builder.deploy")
