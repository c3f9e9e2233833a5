"""What code finds inside builder.pex, and which part of it is unpacked for that."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.commands import write_tree
from tests.support.running_pex import evaluate, run, said


def test_sees_only_what_it_brings(builder_pex: Path, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise RuntimeError('the wrong click')")
    code = "import click, sys; print(click.__version__); print([p for p in sys.path if 'site-packages' in p])"
    version, elsewhere = evaluate(builder_pex, code, PYTHONPATH=str(tmp_path)).splitlines()
    assert version
    assert elsewhere == "[]"


def test_unpacks_dagster_only_when_it_is_asked_for(builder_pex: Path, empty_cache: Path) -> None:
    assert evaluate(builder_pex, "import click, yaml, httpx; print(1)") == "1"
    assert len(list((empty_cache / "boot").iterdir())) == 1
    code = "import dagster, importlib.metadata as m; print(m.version('dagster') == dagster.__version__)"
    assert evaluate(builder_pex, code) == "True"
    assert len(list((empty_cache / "boot").iterdir())) == 2


def test_holds_all_that_the_builder_imports(builder_pex: Path, empty_cache: Path) -> None:
    imported = {
        module.partition(".")[0]
        for path in (REPOSITORY / "builder").rglob("*.py")
        # These run in the environments of a project's build backend and of its code.
        if path.name not in {"backend_hook.py", "child.py"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for module in imports(node)
    }
    # What only deploying needs.
    of_dagster = {"dagster_cloud_cli", "dagster_shared", "rich"}
    assert {"click", "httpx", "yaml", *of_dagster} <= imported
    lacking = "from importlib.util import find_spec as f; print([n for n in {} if not f(n)])"
    assert evaluate(builder_pex, lacking.format(sorted(imported - of_dagster))) == "[]"
    # Unpacking dagster's part would slow each fresh start down.
    assert len(list((empty_cache / "boot").iterdir())) == 1
    assert evaluate(builder_pex, lacking.format(sorted(of_dagster))) == "[]"


def test_deploys_without_the_part_of_dagster(builder_pex: Path, empty_cache: Path) -> None:
    # Unpacking it would take half a second of each deploy on a fresh machine.
    assert evaluate(builder_pex, "import builder.delivery.deliver, builder.deployment.graphql; print(1)") == "1"
    assert len(list((empty_cache / "boot").iterdir())) == 1


@pytest.mark.parametrize("module", ["dagster_cloud_cli", "dagster_shared.plus.config"])
def test_has_what_asks_for_that_part_at_hand(builder_pex: Path, empty_cache: Path, module: str) -> None:
    assert evaluate(builder_pex, f"import {module}; print({module.rpartition('.')[2]!r})")
    assert len(list((empty_cache / "boot").iterdir())) == 2


def test_has_bars(builder_pex: Path, empty_cache: Path) -> None:
    code = "from builder.terminal.bars import Bars; print(type(Bars([])).__name__)"
    assert evaluate(builder_pex, code) == "Bars"
    assert len(list((empty_cache / "boot").iterdir())) == 2


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def test_works_without_what_was_left_out(builder_pex: Path) -> None:
    # cryptography, and the compiled part of sqlalchemy.
    code = "import dagster_cloud_cli.commands.ci, github3, jwt, sqlalchemy; print(sqlalchemy.text('1'))"
    assert evaluate(builder_pex, code) == "1"


def test_finds_packages_and_holds_what_their_images_are_made_of(builder_pex: Path, tmp_path: Path) -> None:
    write_tree(tmp_path, {"one/setup.py": 'from setuptools import setup\nsetup(name="one", version="1.0")\n'})
    assert "setuptools.build_meta" in said(run([builder_pex, "-m", "builder.packages", "discover", tmp_path]))
    code = "from importlib import resources as r; d = r.files('builder.packages.images')"
    code += "; print((d / 'Dockerfile').is_file(), (d / 'verify_import.py').is_file())"
    assert evaluate(builder_pex, code) == "True True"


def test_children_find_the_tools_inside(builder_pex: Path) -> None:
    for module, version in (("pex", "2.59.5"), ("pip", "pip 2")):
        code = (
            "from builder.system import process; "
            f"print(process.run_module('{module}', ['--version'], env=process.clean_environment()).stdout)"
        )
        assert evaluate(builder_pex, code).startswith(version)


def test_ships_the_bootstrap_of_pex(builder_pex: Path) -> None:
    code = "from builder.assembly import bootstrap as b; print(bool(b._shipped()), len(b.bootstrap().members))"
    shipped, count = evaluate(builder_pex, code).split()
    assert shipped == "True"
    assert int(count) > 100
