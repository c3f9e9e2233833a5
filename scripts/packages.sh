#!/usr/bin/env bash
# Run builder.packages out of this working tree, in an environment made from Pipfile.lock:
#   scripts/packages.sh discover ~/dagster
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
# What it says is no result of the command that is run.
"$here/scripts/make-venv.sh" "$here/.venv-packages" default >&2
exec env PYTHONPATH="$here" "$here/.venv-packages/bin/python" -m builder.packages "$@"
