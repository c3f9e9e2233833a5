#!/bin/sh
# Print the path of a CPython 3.11 or 3.12 that can create virtual environments. Each candidate on PATH is tried:
# pyenv has shims for versions that are not installed, and Debian's Python may lack pip and ensurepip.
probe='
import sys
assert sys.version_info[:2] in ((3, 11), (3, 12)) and sys.implementation.name == "cpython"
import ssl, venv, zlib
try:
    import pip
except ImportError:
    import ensurepip
print(sys.executable)'
IFS=:
for name in python3.11 python3.12 python3 python; do
    for directory in $PATH; do
        [ -x "$directory/$name" ] && "$directory/$name" -I -c "$probe" 2>/dev/null && exit 0
    done
done
echo "error: no working Python 3.11 or 3.12 with pip or ensurepip on PATH
hint: Install one: \`apt-get install python3.11 python3.11-venv\`, \`brew install python@3.12\`, \`uv python install 3.12\`" >&2
exit 1
