#!/usr/bin/env bash
# Format, lint, types and tests, in a virtual environment made from Pipfile.lock. Arguments go to pytest:
#   ./run-tests.sh -k deploy
set -uo pipefail
cd "$(dirname "$0")" || exit 1

scripts/make-venv.sh .venv default develop || exit 1
# Containers are built and run, pages shown in a browser: without them these tests fail, each saying what it lacks.
scripts/ci-tools.sh

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
