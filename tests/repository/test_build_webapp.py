"""scripts/build-webapp.sh: the web application of trees of each era, or an error."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.commands import write_tree
from tests.support.monorepo import WEBAPP
from tests.support.programs import REPOSITORY

_COREPACK: Final = """#!/bin/sh
set -e
echo "$(basename "$PWD"): $*" >> "$CALLS"
case $* in
    "yarn install --immutable") ;;
    # As Yarn does: the script `build` of the package or of the workspace.
    "yarn workspace @dagster-io/app-oss build") cd "$APP"; sh -ec "$(jq -r .scripts.build package.json)" ;;
    "yarn build") sh -ec "$(jq -r .scripts.build package.json)" ;;
    *) exit 2 ;;
esac
"""
_NEXT: Final = "mkdir -p build; echo page > build/index.html"
_OLD: Final = "js_modules/dagster-ui"


def _package(build: str) -> str:
    return json.dumps({"scripts": {"build": build}})


def _copy(depth: str) -> str:
    """What puts the result into the package, from so far above the repository's root."""
    return f"mkdir -p {depth}{WEBAPP}; cp -r build/. {depth}{WEBAPP}"


TREES: Final = {
    "2026": {
        "js_modules/package.json": _package("exit 3"),
        "js_modules/app-oss/package.json": _package("sh build.sh"),
        "js_modules/app-oss/build.sh": f"{_NEXT}; {_copy('../../')}\n",
    },
    "2025": {
        f"{_OLD}/package.json": _package("exit 3"),
        f"{_OLD}/packages/app-oss/package.json": _package("sh build.sh"),
        f"{_OLD}/packages/app-oss/build.sh": f"{_NEXT}; {_copy('../../../../')}\n",
    },
    "older": {
        f"{_OLD}/package.json": _package(f"cd packages/app-oss; {_NEXT}; {_copy('../../../../')}"),
        f"{_OLD}/packages/app-oss/package.json": _package(_NEXT),
    },
}


def _build(root: Path, tree: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    write_tree(root, {**tree, "tools/corepack": _COREPACK})
    (root / "tools" / "corepack").chmod(0o755)
    environment = {"PATH": f"{root / 'tools'}:{os.environ['PATH']}", "CALLS": str(root / "calls")}
    environment["APP"] = "app-oss" if "js_modules/app-oss/package.json" in tree else "packages/app-oss"
    return subprocess.run(
        [REPOSITORY / "scripts" / "build-webapp.sh", "."],
        cwd=root,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("era", TREES)
def test_the_web_application_of_each_era_is_put_into_the_package(era: str, tmp_path: Path) -> None:
    finished = _build(tmp_path, {**TREES[era], f"{WEBAPP}/stale.js": "old"})
    assert finished.returncode == 0, finished.stderr
    assert [path.name for path in (tmp_path / WEBAPP).iterdir()] == ["index.html"]
    workspace = "js_modules" if era == "2026" else "dagster-ui"
    build = "yarn build" if era == "older" else "yarn workspace @dagster-io/app-oss build"
    assert (tmp_path / "calls").read_text() == f"{workspace}: yarn install --immutable\n{workspace}: {build}\n"


@pytest.mark.parametrize("stale", [{}, {f"{WEBAPP}/index.html": "of an earlier build"}], ids=["none", "stale"])
def test_a_build_without_result_is_an_error(stale: dict[str, str], tmp_path: Path) -> None:
    finished = _build(tmp_path, {**TREES["older"], f"{_OLD}/package.json": _package("true"), **stale})
    assert finished.returncode == 1
    assert "there is no " in finished.stderr
    assert f"{WEBAPP}/index.html" in finished.stderr


def test_a_failing_build_is_an_error(tmp_path: Path) -> None:
    assert _build(tmp_path, {**TREES["2026"], "js_modules/app-oss/build.sh": "exit 7\n"}).returncode == 7


def test_a_tree_of_another_shape_is_an_error_before_anything_runs(tmp_path: Path) -> None:
    finished = _build(tmp_path, {"js_modules/dagit/package.json": "{}"})
    assert finished.returncode == 1
    assert "there is no app-oss in " in finished.stderr
    assert not (tmp_path / "calls").exists()
