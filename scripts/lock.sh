#!/usr/bin/env bash
# Lock Pipfile into Pipfile.lock, with the hashes of all platforms' files and no index named: which index serves
# them is the business of each machine's pip configuration.
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
# pipenv mixes the indexes of this machine into the hash of Pipfile; take it as a machine without any has it.
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
