#!/usr/bin/env bash
# Lock Pipfile into Pipfile.lock, with the hashes of the files for all platforms, and without an index, which
# each machine configures for pip.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(scripts/find-python.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pipenv==2026.10.3'
cp Pipfile "$work"
export PIPENV_PIPFILE=$work/Pipfile PIPENV_YES=1 PIPENV_NOSPIN=1 WORKON_HOME=$work/virtualenvs
unset PIPENV_VENV_IN_PROJECT VIRTUAL_ENV
"$work/venv/bin/pipenv" --python "$python" lock "$@"
# pipenv includes this machine's indexes in the hash of Pipfile; compute the hash without them.
PIP_CONFIG_FILE=/dev/null "$work/venv/bin/python" - "$work/Pipfile.lock" <<'PYTHON'
import json
import sys

from pipenv.project import Project

path = sys.argv[1]
with open(path) as stream:
    lock = json.load(stream)
lock["_meta"]["hash"]["sha256"] = Project(chdir=False).pipfile.calculate_hash()
lock["_meta"]["sources"] = []
for section in ("default", "develop"):
    for entry in lock[section].values():
        entry.pop("index", None)
with open(path, "w") as stream:
    json.dump(lock, stream, indent=4, sort_keys=True)
    stream.write("\n")
PYTHON
mv "$work/Pipfile.lock" Pipfile.lock
