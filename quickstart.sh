#!/usr/bin/env bash
# Build examples/quickstart with generated/gha/builder.pex, which is made first if it is not there:
#   ./quickstart.sh [OUT_DIR]    (default: out)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
builder=$here/generated/gha/builder.pex
[ -e "$builder" ] || "$here/build-builder.sh"
echo "$builder -m builder.deploy $here/examples/quickstart/dagster_cloud.yaml ${1:-$here/out}" >&2
exec "$builder" -m builder.deploy "$here/examples/quickstart/dagster_cloud.yaml" "${1:-$here/out}"
