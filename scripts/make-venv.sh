#!/usr/bin/env bash
# Create a virtual environment with the distributions in Pipfile.lock, unless it exists:
#   scripts/make-venv.sh DIR SECTION...     (sections: default, develop)
set -uo pipefail
directory=$(realpath -m "$1") || exit 1
shift
cd "$(dirname "$0")/.." || exit 1

python=$(scripts/find-python.sh) || exit 1
state=$("$python" -c 'import hashlib, sys
print(sys.version, hashlib.sha256(open("Pipfile.lock", "rb").read()).hexdigest())') || exit 1

make_environment() {
    echo "== making $directory from Pipfile.lock"
    rm -rf "$directory"
    local installer
    if "$python" -c 'import pip' 2>/dev/null; then
        "$python" -m venv --without-pip "$directory" || return
        installer=("$python" -m pip --python "$directory/bin/python")
    else
        "$python" -m venv "$directory" || return
        installer=("$directory/bin/python" -m pip)
    fi
    "$python" scripts/pipfile_lock.py "$@" >"$directory/requirements.txt" &&
        "${installer[@]}" install --quiet --quiet --disable-pip-version-check --no-deps --only-binary :all: --no-compile \
            --require-hashes --requirement "$directory/requirements.txt" &&
        echo "$state" >"$directory/state"
}
[ "$(cat "$directory/state" 2>/dev/null)" = "$state" ] || make_environment "$@" || {
    echo "error: $directory could not be made; see above" >&2
    exit 1
}
