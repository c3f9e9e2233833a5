#!/usr/bin/env bash
# Build the web application of dagster-webserver in a checkout of dagster's repository, with the Yarn that the
# repository pins:
#   scripts/build-webapp.sh ~/dagster
# Until 2026 `app-oss` lay in js_modules/dagster-ui/packages, since then in js_modules. Its build.sh puts the result
# into the package; older trees have none, and the `build` of the whole workspace does it.
set -euo pipefail
webapp=$(realpath "$1")/python_modules/dagster-webserver/dagster_webserver/webapp/build
cd "$1/js_modules"
[ ! -d dagster-ui ] || cd dagster-ui
app=
for place in app-oss packages/app-oss; do
    [ ! -f "$place/package.json" ] || app=$place
done
if [ -z "$app" ]; then
    echo "error: there is no app-oss in $PWD: this script does not know how such a tree builds its web application" >&2
    exit 1
fi
export COREPACK_ENABLE_DOWNLOAD_PROMPT=0
# What an earlier build left must not be taken for the result of this one.
rm -rf "$webapp"
corepack yarn install --immutable
if [ -f "$app/build.sh" ]; then
    corepack yarn workspace @dagster-io/app-oss build
else
    corepack yarn build
fi
if [ ! -s "$webapp/index.html" ]; then
    echo "error: the build of the web application ended well, but there is no $webapp/index.html" >&2
    exit 1
fi
