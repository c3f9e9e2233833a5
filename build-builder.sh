#!/usr/bin/env bash
# Build builder.pex, for every platform that it runs on, from Pipfile.lock and builder/:
#   ./build-builder.sh [OUT_DIR]    (default: generated/gha)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
echo "builder.pex: made of builder/ and the wheels of Pipfile.lock; the first time in a minute or two" >&2
python=$("$here/scripts/find-python.sh")
exec "$python" -B "$here/scripts/build_builder.py" "${1:-$here/generated/gha}"
