#!/usr/bin/env bash
# Build the web application of dagster-webserver in a checkout of dagster's repository, with the Yarn that the
# repository pins; its own build script puts the result into the package:
#   scripts/build-webapp.sh ~/dagster
set -euo pipefail
cd "$1/js_modules"
# Until 2026 the workspace was one directory level deeper.
[ ! -d dagster-ui ] || cd dagster-ui
export COREPACK_ENABLE_DOWNLOAD_PROMPT=0
corepack yarn install --immutable
corepack yarn workspace @dagster-io/app-oss build
