"""What `dagster-cloud serverless deploy-python-executable` does to build, called as a library.

    python existing_tool.py both|source PROJECT... OUT_DIR

The modules' own command lines are not used: `…pex_builder.source` passes a string where a version is needed.
"""

from __future__ import annotations

import sys

from dagster_cloud_cli.core.pex_builder import deps, source
from packaging.version import Version

PYTHON = Version("3.11")


def main(what: str, *places: str) -> None:
    """Build the source PEX of each project, and its deps PEX too if `what` is "both"."""
    *projects, out_dir = places
    for project in projects:
        packages, requirements = deps.get_deps_requirements(project, PYTHON)
        if what == "both":
            deps.build_deps_from_requirements(requirements, out_dir, deps.BuildMethod.LOCAL)
        source.build_source_pex(project, packages.local_package_paths, out_dir, PYTHON)


if __name__ == "__main__":
    main(*sys.argv[1:])
