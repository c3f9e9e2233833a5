"""Import a package, and try its programs; `checks` runs this by the Python of the package's environment.

    python -I -c TEXT PASSED NAME,NAME PROGRAM…

Each program shows its help in a fork of the process that has imported the package, so that its own start need not
import that again. The paths of those that did are written to the file PASSED, up to the first that did not. That
is no failure yet: a program may work by itself that does not in a fork.

The package must not work by what this module has imported, so that it imports as little as it can.
"""

# Neither pathlib nor signal is imported at the top, and the text of a program is executed.
# ruff: noqa: PLC0415, PTH120, PTH123, S102

import importlib
import os
import sys

_SECONDS = 30
"""Time limit for the help of one program, which may wait for a thread that a fork lacks."""


def main(passed: str, names: str, *programs: str) -> None:
    """Import modules, which fails as the import does, and try programs."""
    for name in filter(None, names.split(",")):
        importlib.import_module(name)
    with open(passed, "w", encoding="utf-8") as stream:
        for program in programs:
            if not _shows_help(program):
                break
            stream.write(f"{program}\n")


def _shows_help(program: str) -> bool:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    code = 1
    try:
        _run(program)
        code = 0
    except SystemExit as error:
        code = 0 if error.code in {None, 0} else 1
    finally:
        # Neither the parent's handlers nor what it has not written yet belong to the program.
        os._exit(code)


def _run(program: str) -> None:
    """Run a program as Python runs a script, with its output thrown away."""
    import signal

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_SECONDS)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.argv = [program, "--help"]
    sys.path.insert(0, os.path.dirname(program))
    with open(program, encoding="utf-8") as stream:
        code = compile(stream.read(), program, "exec")
    module = type(sys)("__main__")
    module.__file__ = program
    sys.modules["__main__"] = module
    exec(code, module.__dict__)


if __name__ == "__main__":
    main(*sys.argv[1:])
