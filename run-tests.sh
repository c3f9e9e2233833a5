#!/usr/bin/env bash
# Format, lint, types and tests, in a virtual environment made from Pipfile.lock. Arguments go to pytest:
#   ./run-tests.sh -k deploy
# --fast leaves out the tests that need a network, containers or a browser, or that are slow:
#   ./run-tests.sh --fast
set -uo pipefail
cd "$(dirname "$0")" || exit 1

selection=()
if [ "${1:-}" = --fast ]; then
    shift
    selection=(-m "not slow and not network and not containers and not browser")
fi

scripts/make-venv.sh .venv default develop || exit 1
# Containers are built and run, pages shown in a browser: without them these tests fail, each saying what it lacks.
[ ${#selection[@]} -gt 0 ] || scripts/ci-tools.sh

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
# One worker more than there are processors, as a test often waits: for the network, a server, a container.
workers=$(($(getconf _NPROCESSORS_ONLN) + 1))
# Unbuffered: whoever reads through a pipe sees each test too.
check "tests" python -u -m pytest -n "$workers" "${selection[@]}" "$@"

if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}" >&2
    exit 1
fi
