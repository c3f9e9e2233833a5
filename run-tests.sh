#!/usr/bin/env bash
# Format, lint, types and tests, in a virtual environment made from Pipfile.lock. Arguments go to pytest:
#   ./run-tests.sh -k deploy
set -uo pipefail
cd "$(dirname "$0")" || exit 1

python=$(scripts/find-python.sh) || exit 1
state=$("$python" -c 'import hashlib, sys
print(sys.version, hashlib.sha256(open("Pipfile.lock", "rb").read()).hexdigest())') || exit 1

make_environment() {
    echo "== making .venv from Pipfile.lock"
    rm -rf .venv
    local installer
    if "$python" -c 'import pip' 2>/dev/null; then
        "$python" -m venv --without-pip .venv || return
        installer=("$python" -m pip --python .venv/bin/python)
    else
        "$python" -m venv .venv || return
        installer=(.venv/bin/python -m pip)
    fi
    "$python" scripts/pipfile_lock.py default develop >.venv/requirements.txt &&
        "${installer[@]}" install --quiet --quiet --disable-pip-version-check --no-deps --only-binary :all: --no-compile \
            --require-hashes --requirement .venv/requirements.txt &&
        echo "$state" >.venv/state
}
[ "$(cat .venv/state 2>/dev/null)" = "$state" ] || make_environment || {
    echo "error: .venv could not be made; see above" >&2
    exit 1
}

# Byte code makes the second start of dagster three times faster; it lies in ignored directories.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME
export PATH="$PWD/.venv/bin:$PATH" VIRTUAL_ENV="$PWD/.venv"

failed=()
check() {
    local name=$1
    shift
    echo "== $name"
    "$@" || failed+=("$name")
}
check "format" ruff format --check --diff --quiet .
check "lint" ruff check --quiet .
check "types" mypy
check "tests" pytest -n 2 "$@"

if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}" >&2
    exit 1
fi
