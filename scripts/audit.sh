#!/usr/bin/env bash
# Check everything in Pipfile.lock, and the builder's other pins, for known vulnerabilities.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(scripts/find-python.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pip-audit==2.10.1'
"$python" - > "$work/requirements.txt" <<'PYTHON'
import json
from pathlib import Path

lock = json.loads(Path("Pipfile.lock").read_text(encoding="utf-8"))
for section in ("default", "develop"):
    for name, entry in sorted(lock[section].items()):
        print(name + entry["version"])
PYTHON
sed -n 's/^\(uv==[^ ;\\]*\).*/\1/p' builder/resolution/uv-requirement.txt >> "$work/requirements.txt"
sort -u -o "$work/requirements.txt" "$work/requirements.txt"
"$work/venv/bin/pip-audit" --strict --progress-spinner off --no-deps --disable-pip --requirement "$work/requirements.txt" "$@"
