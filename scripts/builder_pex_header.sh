#!/bin/sh
# builder.pex: everything below the last line of this text is a zip file, see README. Names on PATH are tried until
# one is a Python that works: a shim of pyenv may stand for a version that is not installed.
probe='import sys; assert sys.version_info[:2] in ((3, 11), (3, 12)); print(sys.executable)'
pythons=$(
    IFS=:
    for name in python3.11 python3.12 python3 python; do
        for directory in $PATH; do
            [ -x "$directory/$name" ] && "$directory/$name" -I -S -c "$probe" 2>/dev/null && exit
        done
    done
)
[ -n "$pythons" ] && exec "$pythons" "$0" "$@"
echo "builder.pex: needs a working CPython 3.11 or 3.12 on PATH, and there is none" >&2
exit 1
