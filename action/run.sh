#!/usr/bin/env bash
# Run a Python file with the Python that builder.pex is for: what a job has on PATH may be any other.
set -euo pipefail
python=$("$(dirname "$0")/../scripts/find-python.sh")
exec "$python" -B "$@"
