"""Run a program and write what it took as JSON: its exit code, seconds, processor time and peak memory in bytes.

    python -I -S bench/usage_of.py FILE TIMEOUT PROGRAM ARGUMENT…

The kernel counts as a program's peak what the process had that started it, up to the moment when the program took
its place. So a bench, which may have been large, starts programs by this one, which is small.
"""

import json
import os
import signal
import sys
import time


def main() -> None:
    """Run the program to its end; after TIMEOUT seconds, unless they are 0, it is killed."""
    file, timeout, *argv = sys.argv[1:]
    started = time.perf_counter()
    child = os.posix_spawnp(argv[0], argv, os.environ)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(int(timeout))
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    # Linux counts memory in KiB, macOS in bytes.
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with open(file, "w", encoding="utf-8") as stream:  # noqa: PTH123  (pathlib would make this one larger)
        json.dump([os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, memory], stream)


if __name__ == "__main__":
    main()
