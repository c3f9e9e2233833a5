"""What the build of a local package sees: its surroundings and its repository, in a tree of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builder.resolution import build_tree
from tests.support.local_packages import DESCRIBE, STATUS, answer, commit_all, everything, probe
from tests.support.repositories import Repository

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.mark.parametrize("most", [5_000, 2], ids=["copied", "too large to be copied"])
def test_what_lies_around_a_package_is_there_but_for_secrets_and_leftovers(
    root: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(build_tree, "MOST_FILES", most)
    repository = Repository.create(root)
    package = probe(root / "lib", f"[around(), Path('../VERSION').read_text(), {DESCRIBE}, {STATUS}]")
    for name in ("VERSION", "schemas/a.json", "schemas/deep/b.json", ".env", "other/.env", "other/id_rsa"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    commit_all(repository, "v1")
    (root / ".venv").mkdir()
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr\n")
    names = ["VERSION", "lib", "lib/backend.py", "lib/pyproject.toml"]
    names += ["schemas", "schemas/a.json", "schemas/deep", "schemas/deep/b.json"]
    # Files that are left out do not make the tree dirty, nor do the backend's leftovers.
    found, version, described, status = answer(package)
    assert [name for name in found if not name.startswith("lib/__pycache__")] == names
    assert (version, described, status) == ("VERSION", "v1", "")
    # Modified files of the user's tree are modified in the copy.
    (root / "schemas/a.json").write_text("changed")
    described, status = answer(package)[2:]
    assert (described, status[1:]) == ("v1-dirty", " schemas/a.json")


@pytest.mark.parametrize("most", [5_000, 2], ids=["copied", "too large to be copied"])
def test_what_a_build_writes_reaches_neither_the_tree_nor_the_repository(
    root: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(build_tree, "MOST_FILES", most)
    repository = Repository.create(root)
    writes = "[Path(name).write_text('mine') for name in ('new.txt', '../VERSION', '../made.txt', '../schemas/c')]"
    identity = "'-c', 'user.name=a', '-c', 'user.email=b'"
    gits = f"[git('tag', 'mine'), git('add', '-A'), git({identity}, 'commit', '-m', 'x')]"
    package = probe(root / "lib", f"[{writes}, {gits}, git('log', '--format=%s')]")
    (root / "VERSION").write_text("1")
    (root / "schemas").mkdir()
    (root / "schemas/a.json").write_text("{}")
    commit_all(repository, "v1")
    before = everything(root)
    log = answer(package)[2]
    assert log.splitlines()[0] == "x"
    assert everything(root) == before


def test_configuration_and_hooks_of_the_repository_are_not_executed(root: Path, tmp_path: Path) -> None:
    repository = Repository.create(root)
    package = probe(root, f"[{DESCRIBE}, {STATUS}, git('checkout', '-q', '-b', 'mine')]")
    (root / ".gitattributes").write_text("*.txt filter=evil\n")
    (root / "a.txt").write_text("a")
    commit_all(repository, "v1")
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    evil.chmod(0o755)
    for key in ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "core.sshCommand"):
        repository.git("config", key, str(evil))
    shutil.copy(evil, root / ".git/hooks/post-checkout")
    (root / "a.txt").write_text("b")
    assert answer(package) == ["v1-dirty", "M a.txt", ""]
    assert not (tmp_path / "ran").exists()


def test_submodules_worktrees_and_shallow_clones_are_repositories_too(tmp_path: Path) -> None:
    library = Repository.create(tmp_path / "library")
    probe(library.path, f"[{DESCRIBE}, {STATUS}, Path('../VERSION').read_text()]")
    commit_all(library, "lib-7")
    superproject = Repository.create(tmp_path / "superproject")
    superproject.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.path), "lib")
    (superproject.path / "VERSION").write_text("above")
    commit_all(superproject, "v1")
    assert answer(superproject.path / "lib") == ["lib-7", "", "above"]

    probe(library.path, f"[{DESCRIBE}, git('rev-parse', '--is-shallow-repository', '--abbrev-ref', 'HEAD')]")
    library.git("commit", "-q", "-am", "two")
    library.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    described, rest = answer(tmp_path / "side")
    assert (described[:8], rest.split()) == ("lib-7-1-", ["false", "side"])
    library.git("clone", "-q", "--depth=1", f"file://{library.path}", str(tmp_path / "shallow"))
    described, rest = answer(tmp_path / "shallow")
    assert (described, rest.split()) == ("fatal: No names found, cannot describe anything.", ["true", "main"])


def test_without_a_repository_the_workspace_is_what_a_build_sees(tmp_path: Path) -> None:
    package = probe(tmp_path / "mono" / "lib", f"[around(), {STATUS}]")
    (tmp_path / "mono" / "VERSION").write_text("1")
    (tmp_path / "mono" / "dagster_cloud.yaml").write_text("locations: []")
    found, status = answer(package)
    assert {"VERSION", "dagster_cloud.yaml"} <= set(found)
    assert status.startswith("fatal: not a git repository")
    (tmp_path / "mono" / "dagster_cloud.yaml").unlink()
    assert answer(package)[0][0] == "lib"


def test_git_of_a_hook_does_not_lead_a_build_to_another_repository(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository.create(root)
    package = probe(root, DESCRIBE)
    commit_all(repository, "v1")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert answer(package) == "v1"
