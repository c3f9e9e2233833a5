#!/bin/sh
# Pin the uv that the builder uses: scripts/pin-uv.sh VERSION
set -eu
cd "$(dirname "$0")/.."
{
    echo "# The uv that resolves and builds, by version and hash; made by scripts/pin-uv.sh"
    echo "uv==$1" | uv pip compile - --universal --generate-hashes --no-header --no-annotate --quiet
} > builder/resolution/uv-requirement.txt
