#!/usr/bin/env bash
# Fetch the newest tag of a release, such as 1.13.30, into a shallow clone, where it tells which packages are of the core:
#   scripts/fetch-release.sh REPOSITORY
# Without it, as from a private repository whose login is not kept, builder.packages goes by their names, and says so.
set -euo pipefail
cd "$1"
tag=$(git ls-remote --refs --tags --sort=-version:refname origin |
    sed --quiet --regexp-extended 's!.*\trefs/tags/([0-9]+\.[0-9]+\.[0-9]+)$!\1!p' | sed --quiet 1p) || tag=
if [ -z "$tag" ] || ! git fetch --quiet --no-tags --depth 1 origin "refs/tags/$tag:refs/tags/$tag"; then
    echo "No tag of a release was fetched" >&2
fi
