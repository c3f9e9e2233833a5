#!/usr/bin/env bash
# Print the digest of a directory's files, their names included; with a second word, fail unless it is that one:
#   scripts/digest-of.sh DIR [DIGEST]
# What one job of a workflow gives another goes through storage that every job may write; a job's outputs do not.
set -euo pipefail
digest=$(cd "$1" && find . -type f -print0 | LC_ALL=C sort --zero-terminated |
    xargs --null --no-run-if-empty sha256sum | sha256sum | cut -d ' ' -f 1)
if [ $# -eq 1 ]; then
    echo "$digest"
elif [ "$digest" != "$2" ]; then
    echo "error: the files in $1 are not those that were made: $digest instead of ${2:-none}" >&2
    exit 1
fi
