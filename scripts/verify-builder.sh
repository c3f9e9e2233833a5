#!/usr/bin/env bash
# Build builder.pex again from the commit that the json beside it names, and compare the bytes:
#   scripts/verify-builder.sh [BUILDER_PEX]    (default: generated/gha/builder.pex)
# A clone without history fetches that one commit.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
pex=$(realpath "${1:-$here/generated/gha/builder.pex}")
cd "$here"
python=$(scripts/find-python.sh)
fail() {
    echo "error: $1" >&2
    exit 1
}
[ -f "$pex" ] && [ -f "$pex.json" ] || fail "\`$pex\` or \`$pex.json\` is missing"
said() { "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]] or "")' "$pex.json" "$1"; }
hash_of() { "$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"; }

sha256=$(said sha256) commit=$(said commit)
[ "$(hash_of "$pex")" = "$sha256" ] || fail "\`$pex\` is not the file that \`$pex.json\` describes"
[[ $commit =~ ^[0-9a-f]{40}$ ]] || fail "\`$pex.json\` names no commit: build it from a clean checkout"
git cat-file -e "$commit^{commit}" 2>/dev/null || git fetch --quiet --depth=1 origin "$commit" ||
    fail "commit $commit is neither here nor at \`origin\`"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source"
git archive "$commit" | tar -x -C "$work/source"
"$work/source/build-builder.sh" "$work/out"
if [ "$(hash_of "$work/out/builder.pex")" != "$sha256" ]; then
    fail "commit $commit builds another file: $(hash_of "$work/out/builder.pex") instead of $sha256"
fi
echo "\`$pex\` is what commit $commit builds: sha256 $sha256"
