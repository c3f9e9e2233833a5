#!/usr/bin/env bash
# Run builder.packages from this working tree, in an environment made from Pipfile.lock:
#   scripts/packages.sh discover ~/dagster
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
# Its output goes to stderr, since stdout is for the command's result.
"$here/scripts/make-venv.sh" "$here/.venv-packages" default >&2
exec env PYTHONPATH="$here" "$here/.venv-packages/bin/python" -m builder.packages "$@"
