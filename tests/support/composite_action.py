"""Running action.yml as a runner of GitHub Actions runs a composite action: expressions, conditions, files.

Its own scripts run. Steps that use other actions do not: the test gets to know them, in their order.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.programs import REPOSITORY

_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_OUTPUT = re.compile(r"(?ms)^([\w-]+)(?:=(.*?)$|<<(\S+)\n(.*?)\n?^\3$)")
_SECONDS = 300


def read(path: Path) -> dict[Any, Any]:
    """A workflow or an action."""
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def evaluated(expression: str, values: Mapping[str, str]) -> str:
    """The value of an expression made of names, texts, `==`, `!=`, `&&` and `||`; what has no value is empty."""
    for symbol, chosen in (("||", True), ("&&", False)):
        left, found, right = expression.partition(f" {symbol} ")
        if found:
            value = evaluated(left, values)
            return value if (value not in {"", "false"}) is chosen else evaluated(right, values)
    for symbol, same in (("==", True), ("!=", False)):
        left, found, right = expression.partition(f" {symbol} ")
        if found:
            return str((evaluated(left, values) == evaluated(right, values)) is same).lower()
    text = expression.strip()
    return text[1:-1] if text.startswith("'") else values.get(text, "")


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its expressions evaluated."""
    return _EXPRESSION.sub(lambda match: evaluated(match[1], values), text)


@dataclass(slots=True)
class Ran:
    """What a run of an action did.

    :ivar used: the actions that it used, with what they got, in their order.
    """

    code: int = 0
    log: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    used: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner of GitHub Actions.

    :param action: where the runner has put the action, as it does with `uses: OWNER/REPO@v1`.
    """

    action: Path
    workspace: Path
    temporary: Path
    environ: Mapping[str, str]

    def run(self, inputs: Mapping[str, str], **environ: str) -> Ran:
        """Run all steps, until one fails."""
        action = read(self.action / "action.yml")
        assert set(inputs) <= set(action["inputs"]), inputs
        values = {"github.token": self.environ.get("GITHUB_TOKEN", "")}
        values |= {f"env.{name}": value for name, value in {**self.environ, **environ}.items()}
        defaults = {name: filled(each.get("default", ""), values) for name, each in action["inputs"].items()}
        values |= {f"inputs.{name}": value for name, value in {**defaults, **inputs}.items()}
        ran = Ran()
        for step in action["runs"]["steps"]:
            if "if" in step and evaluated(step["if"], values) != "true":
                continue
            if "uses" in step:
                given = {name: filled(value, values) for name, value in step["with"].items()}
                ran.used.append((step["uses"].partition("@")[0], given))
                continue
            step_environ = {name: filled(value, values) for name, value in step.get("env", {}).items()}
            outputs = self._script(step, {**self.environ, **environ, **step_environ}, ran)
            values |= {f"steps.{step.get('id')}.outputs.{name}": value for name, value in outputs.items()}
            if ran.code:
                break
        ran.outputs = {name: filled(each["value"], values) for name, each in action["outputs"].items()}
        return ran

    def _script(self, step: Mapping[str, Any], environ: Mapping[str, str], ran: Ran) -> dict[str, str]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
        output, script = self.temporary / "output", self.temporary / "script.sh"
        output.write_bytes(b"")
        script.write_text(step["run"], encoding="utf-8")
        finished = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.workspace,
            env={
                **environ,
                "GITHUB_ACTION_PATH": str(self.action),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_WORKSPACE": str(self.workspace),
                "RUNNER_TEMP": str(self.temporary),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
        ran.code = finished.returncode
        ran.log += finished.stdout
        return {
            name: value or lines for name, value, _, lines in _OUTPUT.findall(output.read_text(encoding="utf-8"))
        }


BUILDER_PEX = f"""\
import runpy, sys
sys.path[0] = {str(REPOSITORY)!r}
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""What stands for builder.pex, which takes a minute to make: the same modules out of this checkout."""


def put_action(directory: Path) -> Path:
    """The action as a runner has it: what is committed, in a tree of its own."""
    for name in ("action", "scripts"):
        shutil.copytree(REPOSITORY / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(REPOSITORY / "action.yml", directory)
    shutil.copy2(REPOSITORY / "Pipfile.lock", directory)
    built = directory / "generated" / "gha" / "builder.pex"
    built.parent.mkdir(parents=True)
    built.write_text(BUILDER_PEX, encoding="utf-8")
    return directory
