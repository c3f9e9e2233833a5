"""`python -m builder.configure github|gitlab [WORKSPACE]`: write the workflow that deploys a project."""

from __future__ import annotations

from pathlib import Path

import click

from builder.terminal.command_line import OUTPUT, BuilderCommand, option
from builder.terminal.running import run_command, verbosity_options

_WORKFLOW = "Workflow"


@click.command(
    cls=BuilderCommand,
    runs="builder.configure.workflow:configure",
    short_help="Write the workflow of GitHub or GitLab that deploys a project.",
    examples=(
        "builder.configure github",
        "builder.configure gitlab . --deployment staging",
        "builder.configure github --split",
    ),
)
@click.argument("provider", type=click.Choice(["github", "gitlab"]))
@click.argument("workspace", type=click.Path(path_type=Path), default=".")
@option(
    _WORKFLOW,
    "--deployment",
    metavar="NAME",
    default="prod",
    help="The full deployment, base of branches.",
)
@option(_WORKFLOW, "--organization", metavar="NAME", default_text="a variable of CI", help="The organization.")
@option(
    _WORKFLOW, "--python-version", metavar="X.Y", default_text="what the project says", help="The code's Python."
)
@option(_WORKFLOW, "--split", is_flag=True, help="Build without secrets, deploy in another job.")
@option(OUTPUT, "--stdout", is_flag=True, help="Print it instead of writing it.")
@verbosity_options
def main() -> None:
    """Write the workflow that deploys WORKSPACE at each push and pull request.

    WORKSPACE is what builder.deploy gets: a dagster_cloud.yaml, or a project or workspace of `dg`, or its
    directory. The file is .github/workflows/deploy.yml or .gitlab-ci.yml of its git repository; another one that
    is there is left as it is.
    """


if __name__ == "__main__":
    run_command(main, "builder.configure")
