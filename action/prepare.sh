#!/usr/bin/env bash
# The first step of action.yml: which Python is missing, where builder.pex, cache and files are, and the cache's key.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [ "${RUNNER_OS:-}" = Windows ]; then
    echo "::error title=Windows::builder.pex runs on Linux and macOS; write \`runs-on: ubuntu-24.04\` for this job"
    exit 1
fi
place=$RUNNER_TEMP/dagster-builder
mkdir -p "$place"

directory=$INPUT_WORKSPACE
[ -d "$directory" ] || directory=$(dirname "$directory")
wanted=$INPUT_PYTHON_VERSION
if [ -z "$wanted" ] && [ -f "$directory/.python-version" ]; then
    wanted=$(sed -n '1s/^ *\(3\.[0-9]*\).*/\1/p' "$directory/.python-version")
fi
# What is no version is refused by builder.deploy, which says so better.
[[ $wanted =~ ^3\.[0-9]+$ ]] || wanted=3.11
missing=()
"python$wanted" -c "import ssl, venv" 2>/dev/null || missing+=("$wanted")
if ! "$root/scripts/find-python.sh" >/dev/null 2>&1 && [[ ! " ${missing[*]:-} " =~ \ 3\.1[12]\  ]]; then
    missing+=(3.12)
fi

builder=$root/generated/gha/builder.pex
identity=$builder
if [ ! -e "$builder" ]; then
    builder=$place/builder.pex
    identity=$root/Pipfile.lock
fi
# Of any tool: what is not a lock changes the key too, which costs no more than a cache that is stored once again.
declarations=$(
    find . \( -name .git -o -name .venv -o -name node_modules \) -prune -o -type f \
        \( -name '*.lock' -o -name 'pylock*.toml' -o -name '*requirements*.txt' -o -name pyproject.toml \
        -o -name setup.py -o -name setup.cfg -o -name Pipfile \) -print0 |
        LC_ALL=C sort -z | xargs -0 git hash-object -- | git hash-object --stdin
)
prefix=dagster-builder-${RUNNER_OS:-}-${RUNNER_ARCH:-}-$(git hash-object "$identity" | cut -c -12)-
{
    echo "builder-pex=$builder"
    echo "out-dir=${INPUT_OUT_DIR:-$place/out}"
    echo "cache-dir=${BUILDER_CACHE_DIR:-$place/cache}"
    echo "cache-key=$prefix$declarations"
    echo "cache-prefix=$prefix"
    echo "missing-python<<end-of-versions"
    printf '%s\n' ${missing[@]+"${missing[@]}"}
    echo end-of-versions
} >>"$GITHUB_OUTPUT"
