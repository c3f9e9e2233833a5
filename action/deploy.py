"""The step of action.yml that deploys: inputs become options of builder.deploy. Needs nothing but Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NoReturn

SWITCHES: Final = {"wait", "verify"}
"""Options with an opposite: `--no-wait`."""

FLAGS: Final = {
    *("upload-pex", "update-code-location", "refresh-defs-state", "allow-empty", "built", "force-rebuild-deps"),
    "if-changed",
    *("plan", "json", "report", "verbose", "quiet"),
}

LISTS: Final = {"include", "extra", "group", "location", "env", "platform"}
"""Options that may be given several times: one value a line."""

VALUES: Final = {
    *("python-version", "format", "base-image", "deployment", "code-location-details"),
    *("snapshot-base-condition", "wait-timeout", "verify-timeout", "check", "upload-timeout"),
    *("deps-cache-tag-read", "deps-cache-tag-write"),
}

OF_UPLOADING: Final = {
    *("update-code-location", "deps-cache-tag-read", "deps-cache-tag-write", "force-rebuild-deps", "built"),
    *("check", "upload-timeout", "verify", "verify-timeout", "refresh-defs-state"),
}
"""Options that builder.deploy refuses without `--upload-pex`."""

OF_UPDATING: Final = {
    *("deployment", "code-location-details", "snapshot-base-condition", "wait", "allow-empty", "wait-timeout"),
    "if-changed",
}
"""Options that it refuses without `--update-code-location`."""

_NOT_VERIFIED: Final = 3
"""The exit code of builder.verify where this machine cannot run the code."""

_ROOT: Final = Path(__file__).resolve().parent.parent


def main() -> None:
    """Deploy, or only build and verify, as the inputs say."""
    environ = dict(os.environ)
    inputs = {
        name.removeprefix("INPUT_").lower().replace("_", "-"): environ.pop(name)
        for name in os.environ
        if name.startswith("INPUT_")
    }
    # An empty variable stands for an input that was not given.
    for name in ("DAGSTER_CLOUD_API_TOKEN", "DAGSTER_CLOUD_ORGANIZATION", "DAGSTER_CLOUD_URL", "GITHUB_TOKEN"):
        if not environ.get(name):
            environ.pop(name, None)
    builder = [sys.executable, "-B", str(_builder_pex(inputs.pop("builder-pex")))]
    workspace, out = inputs.pop("workspace"), inputs.pop("out-dir")
    pass_variables(inputs, environ)
    if reason := _without_token(environ):
        if _event(environ).get("action") == "closed" or is_true(inputs, "built"):
            _say("notice", f"{reason}: there is nothing that this job could do")
            return
        _say("notice", f"{reason}: the project is built, but not deployed")
        inputs["upload-pex"] = "false"
    deploy = [*builder, "-m", "builder.deploy", *options(inputs), "--", workspace, out]
    if is_true(inputs, "upload-pex") or is_true(inputs, "plan"):
        os.execve(deploy[0], deploy, environ)  # noqa: S606  (signals reach the builder itself)
    _run(deploy, environ)
    if inputs.get("verify") != "false":
        verify = [*builder, "-m", "builder.verify", *_verify_options(inputs), "--", out]
        if _run(verify, environ, also=_NOT_VERIFIED) == _NOT_VERIFIED:
            _say("warning", "what was built could not be loaded on this machine, so it is not verified")


def options(inputs: Mapping[str, str]) -> list[str]:
    """The options of builder.deploy that stand for these inputs."""
    useless = set() if is_true(inputs, "upload-pex") else OF_UPLOADING | OF_UPDATING
    if not is_true(inputs, "update-code-location"):
        useless |= OF_UPDATING
    return [
        text
        for name, value in inputs.items()
        if value.strip() and name not in useless
        for text in _option(name, value)
    ]


def _option(name: str, value: str) -> Iterator[str]:
    if name in LISTS:
        yield from (f"--{name}={line.strip()}" for line in value.splitlines() if line.strip())
    elif name in VALUES:
        yield f"--{name}={value.strip()}"
    elif _truth(name, value):
        yield f"--{name}"
    elif name in SWITCHES:
        yield f"--no-{name}"


def is_true(inputs: Mapping[str, str], name: str) -> bool:
    """Whether an input is `true`; ends this program if it is neither that nor `false`."""
    return _truth(name, inputs.get(name, ""))


def _truth(name: str, value: str) -> bool:
    text = value.strip().lower()
    if text not in {"true", "false", ""}:
        _fail(f"the input `{name}` is `{value}`; write `true` or `false`")
    return text == "true"


def _verify_options(inputs: Mapping[str, str]) -> list[str]:
    wanted = {name: inputs.get(name, "") for name in ("location", "env", "verbose", "quiet")}
    timeout = inputs.get("verify-timeout", "").strip()
    return [*options(wanted), *([f"--timeout={timeout}"] if timeout else [])]


def pass_variables(inputs: dict[str, str], environ: dict[str, str]) -> None:
    """Put the values that `env` gives into the environment: a command line can be read by every program."""
    names = []
    for line in inputs.get("env", "").splitlines():
        name, given, value = line.strip().partition("=")
        if given:
            environ[name] = value
        names.append(name)
    inputs["env"] = "\n".join(names)


def _without_token(environ: Mapping[str, str]) -> str | None:
    """Why GitHub gave this job no secrets, if it did not."""
    if environ.get("DAGSTER_CLOUD_API_TOKEN"):
        return None
    event = _event(environ)
    request = event.get("pull_request")
    if not isinstance(request, dict):
        return None
    if environ.get("GITHUB_ACTOR") == "dependabot[bot]":
        return "GitHub gives Dependabot's pull requests no secrets"
    # The repository of a fork that was deleted is null.
    fork = _name(request.get("head", {}).get("repo")) != _name(event.get("repository"))
    return "GitHub gives a pull request from a fork no secrets" if fork else None


def _event(environ: Mapping[str, str]) -> dict[str, object]:
    try:
        found = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError):
        # builder.deploy says what is wrong with it.
        return {}
    return found if isinstance(found, dict) else {}


def _name(repository: object) -> object:
    return repository.get("full_name") if isinstance(repository, dict) else None


def _builder_pex(path: str) -> Path:
    """builder.pex; it is made where this repository has none, as in a checkout of one who develops it."""
    found = Path(path)
    if not found.exists():
        _run([str(_ROOT / "build-builder.sh"), str(found.parent)], dict(os.environ))
    return found


def _run(command: list[str], environ: Mapping[str, str], *, also: int = 0) -> int:
    """Run a program; ends this one if it fails."""
    code = subprocess.run(command, env=environ, check=False).returncode
    if code not in {0, also}:
        sys.exit(code if code > 0 else 128 - code)
    return code


def _fail(message: str) -> NoReturn:
    _say("error", message)
    sys.exit(2)


def _say(kind: str, message: str) -> None:
    print(f"::{kind} title=Dagster Cloud::{message}", flush=True)


if __name__ == "__main__":
    main()
