"""`python -m builder.image WORKSPACE OUT_DIR`: the locations of a workspace as container images."""

from __future__ import annotations

from pathlib import Path

import click

from builder.terminal import options
from builder.terminal.command_line import OUTPUT, BuilderCommand, option
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    runs="builder.delivery.deploy:build_images",
    short_help="Build the locations of a workspace as images.",
    examples=(
        "builder.image dagster_cloud.yaml out",
        "builder.image . out --location etl --base-image acme/base:1",
        "builder.image . out --upload",
    ),
)
@click.argument("workspace", type=click.Path(path_type=Path))
@options.out_argument
@options.location_option(options.WHAT_TO_BUILD, "Only this location.")
@options.include_option
@options.wanted_options
@options.targets_options
@options.base_image_option
@option("Upload", "--upload", is_flag=True, help="Verify the images, and push them to their registry.")
@option("Upload", "--verify/--no-verify", default=True, help="Push only what loads here.")
@options.timeout_option("Upload", "--upload-timeout", "How long a layer may take.", seconds=600)
@option(OUTPUT, "--plan", "only_plan", is_flag=True, help="Print what would be done, without doing it.")
@options.report_option
@verbosity_options
def main() -> None:
    """Build the image of every location in WORKSPACE: OUT_DIR/image-LOCATION, an OCI image layout.

    No container engine is needed, and none is started. The layers lie upon a base image, which a registry serves:
    the dependencies, then the code, so that a change of code changes one small layer only. What `builder.deploy
    --format image` builds, verifies and pushes is the same.
    """


if __name__ == "__main__":
    run_command(main, "builder.image")
