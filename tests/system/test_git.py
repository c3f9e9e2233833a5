"""Git is asked about a checkout without running anything of it, and answers for the repository with the `.git`."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.errors import ToolError
from builder.packages.git import changed_files, list_files
from builder.project.git_ignored import ignored_by_git
from builder.system import git, process
from tests.support.repositories import Repository

EXECUTED = (
    *("core.fsmonitor", "core.hooksPath", "core.sshCommand", "core.pager", "core.editor", "core.askPass"),
    *("core.gitProxy", "core.alternateRefsCommand", "diff.external", "diff.x.command", "diff.x.textconv"),
    *(
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "merge.x.driver",
        "gpg.program",
        "interactive.diffFilter",
    ),
    *(
        "credential.helper",
        "pager.log",
        "pager.diff",
        "pager.tag",
        "uploadpack.packObjectsHook",
        "trailer.x.command",
    ),
    *("alias.log", "alias.diff", "diff.tool", "difftool.x.cmd", "remote.origin.vcs", "remote.origin.uploadpack"),
)
"""Settings of a repository by which git runs programs."""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a commit, a changed and a new file, whose attributes name drivers for every file."""
    made = Repository.create(tmp_path / "repository", origin="https://example.com/acme/x.git")
    (made.path / ".gitignore").write_text("*.log\n")
    (made.path / ".gitattributes").write_text("* filter=x diff=x merge=x\n")
    for name in ("a.txt", "b.txt"):
        (made.path / name).write_text(f"{name}\n")
    made.git("add", ".")
    made.git("commit", "-qm", "first")
    (made.path / "a.txt").write_text("changed\n")
    (made.path / "new.txt").write_text("new\n")
    (made.path / "x.log").write_text("log\n")
    return made


@pytest.fixture
def canary(repository: Repository) -> Path:
    """What exists once a program that the repository names has run."""
    canary = repository.path.parent / "ran"
    program = repository.path.parent / "program.sh"
    program.write_text(f'#!/bin/sh\necho "$0 $@" >> "{canary}"\ncat\n')
    program.chmod(0o755)
    (repository.path / ".git/hooks").mkdir(exist_ok=True)
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout"):
        (repository.path / ".git/hooks" / hook).write_bytes(program.read_bytes())
        (repository.path / ".git/hooks" / hook).chmod(0o755)
    included = repository.path / ".git/included"
    included.write_text(f"[core]\n\tfsmonitor = {program}\n")
    for name in EXECUTED:
        value = {"core.hooksPath": str(program.parent), "diff.tool": "x", "remote.origin.vcs": "x"}.get(name)
        repository.git(
            "config", name, value or f"!{program}" if name.startswith("alias.") else value or str(program)
        )
    repository.git("config", "include.path", str(included))
    repository.git("config", "log.showSignature", "true")
    canary.unlink(missing_ok=True)
    return canary


class TestQuestions:
    def test_no_program_that_the_repository_names_is_run(self, repository: Repository, canary: Path) -> None:
        root = repository.path
        assert list_files(root) == [".gitattributes", ".gitignore", "a.txt", "b.txt", "new.txt"]
        assert changed_files(root, "HEAD") == ["a.txt", "new.txt"]
        assert set(ignored_by_git(str(root), [f"{root}/x.log", f"{root}/a.txt"])) == {f"{root}/x.log"}
        with git.open_repository(root) as opened:
            for question in (
                "log -1 -p HEAD",
                "diff",
                "status",
                "tag --list",
                "grep a",
                "describe --always --dirty",
            ):
                opened.run(*question.split(), also=1)
        assert not canary.exists()
        # The same question without our precautions runs them: the test is one.
        subprocess.run(["git", "status"], cwd=root, check=False, capture_output=True)
        assert canary.exists()

    def test_the_repository_stays_as_it_was(self, repository: Repository) -> None:
        before = {path: path.stat().st_mtime_ns for path in (repository.path / ".git").rglob("*")}
        with git.open_repository(repository.path) as opened:
            opened.run("status")
            opened.run("diff")
        assert {path: path.stat().st_mtime_ns for path in (repository.path / ".git").rglob("*")} == before

    def test_a_worktree_and_a_submodule_are_repositories_of_their_own(
        self, repository: Repository, tmp_path: Path
    ) -> None:
        repository.git("worktree", "add", "-q", "-b", "other", str(tmp_path / "worktree"))
        repository.git("tag", "v1")
        super_ = Repository.create(tmp_path / "super")
        super_.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository.path), "sub")
        for path, branch in ((tmp_path / "worktree", "other"), (super_.path / "sub", "main")):
            with git.open_repository(path) as opened:
                assert opened.root == path
                assert opened.run("symbolic-ref", "HEAD").stdout == f"refs/heads/{branch}\n"
                assert opened.run("ls-files").stdout.split() == [".gitattributes", ".gitignore", "a.txt", "b.txt"]
                assert opened.run("tag", "--list").stdout == "v1\n"

    def test_alternates_and_sha256(self, repository: Repository, tmp_path: Path) -> None:
        repository.git("clone", "-q", "--shared", str(repository.path), str(tmp_path / "shared"))
        newer = Repository(tmp_path / "newer")
        newer.path.mkdir()
        newer.git("init", "-q", "--object-format=sha256")
        head = newer.commit()
        for path, commit in ((tmp_path / "shared", repository.git("rev-parse", "HEAD")), (newer.path, head)):
            with git.open_repository(path) as opened:
                assert opened.run("log", "-1", "--format=%H").stdout == f"{commit}\n"

    def test_no_secret_reaches_git(
        self, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrapper = tmp_path / "bin" / "git"
        wrapper.parent.mkdir()
        real = f'PATH="{os.environ["PATH"]}" exec git "$@"'
        wrapper.write_text(f'#!/bin/sh\nenv >> "{tmp_path}/environment"\n{real}\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("DAGSTER_CLOUD_API_TOKEN", "canary-of-the-token")
        list_files(repository.path)
        git.clone(str(repository.path), repository.git("rev-parse", "HEAD"), tmp_path / "clone")
        environment = (tmp_path / "environment").read_text()
        assert "GIT_CONFIG_COUNT" in environment
        assert "canary" not in environment


class TestWhichRepository:
    def test_a_bare_repository_among_the_files_is_none(self, repository: Repository) -> None:
        """Git allows to commit the files of one; it would be found first by a git that looks for itself."""
        project = repository.path / "project"
        repository.git("clone", "-q", "--bare", str(repository.path), str(project))
        (project / "HEAD").write_text("ref: refs/heads/production\n")
        asked = subprocess.run(
            ["git", "symbolic-ref", "HEAD"], cwd=project, check=True, capture_output=True, encoding="utf-8"
        )
        assert asked.stdout == "refs/heads/production\n"
        with git.open_repository(project) as opened:
            assert opened.root == repository.path
            assert opened.run("symbolic-ref", "HEAD", directory=project).stdout == "refs/heads/main\n"

    def test_a_work_tree_that_the_configuration_moves_stays_where_it_is(
        self, repository: Repository, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "private.txt").write_text("x")
        repository.git("config", "core.worktree", str(tmp_path / "elsewhere"))
        assert "private.txt" not in list_files(repository.path)

    def test_outside_a_repository(self, tmp_path: Path) -> None:
        (tmp_path / ".git").mkdir()
        assert git.find_repository(tmp_path) is None
        with pytest.raises(ToolError, match="not in a git repository"), git.open_repository(tmp_path):
            pass


class _Recorder(BaseHTTPRequestHandler):
    """Redirects to another server if there is one; notes each `Authorization`, and what runs meanwhile."""

    server: _Server

    def do_GET(self) -> None:
        self.server.seen.append(self.headers.get("Authorization", ""))
        # The programs that ask are still there, waiting for the answer.
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.server.argv.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        self.send_response(302 if self.server.to else 404)
        if self.server.to:
            self.send_header("Location", self.server.to + self.path)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    seen: list[str]
    argv: list[str]
    to = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def servers() -> Iterator[tuple[_Server, _Server]]:
    made = []
    for _ in range(2):
        server = _Server(("127.0.0.1", 0), _Recorder)
        server.seen, server.argv = [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
    yield made[0], made[1]
    for server in made:
        server.shutdown()
        server.server_close()


class TestClone:
    def test_the_commit_with_its_submodules_and_no_hooks(
        self, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit = repository.git("rev-parse", "HEAD")
        template = tmp_path / "template" / "hooks"
        template.mkdir(parents=True)
        (template / "post-checkout").write_text(f'#!/bin/sh\ntouch "{tmp_path}/ran"\n')
        (template / "post-checkout").chmod(0o755)
        monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template.parent))
        git.clone(repository.path.as_uri(), commit, tmp_path / "clone")
        assert (tmp_path / "clone/a.txt").read_text() == "a.txt\n"
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("commit", ["--orphan=x", "main", "", "a" * 39])
    def test_nothing_but_a_hash_is_checked_out(self, repository: Repository, tmp_path: Path, commit: str) -> None:
        with pytest.raises(ToolError, match="hash"):
            git.clone(str(repository.path), commit, tmp_path / "clone")

    @pytest.mark.parametrize("location", ["ext::sh -c touch% ran", "--upload-pack=touch ran"])
    def test_a_location_is_no_command(self, tmp_path: Path, location: str) -> None:
        with pytest.raises(ToolError):
            git.clone(location, "a" * 40, tmp_path / "clone")
        assert not (tmp_path / "ran").exists()

    def test_a_password_goes_to_its_host_only_and_into_no_command_line(
        self, servers: tuple[_Server, _Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = servers
        first.to = second.url
        lines: list[str] = []
        monkeypatch.setattr(process, "_trace", lines.append)
        address = f"{first.url}/x.git".replace("//", "//us%40er:pass%2Fword@", 1)
        with pytest.raises(ToolError) as caught:
            git.clone(address, "a" * 40, tmp_path / "clone")
        assert first.seen == ["Basic " + base64.b64encode(b"us@er:pass/word").decode()]
        assert second.seen == [""]
        assert any("remote-http" in line for line in first.argv)
        for text in (*lines, *first.argv, *second.argv, str(caught.value.detail)):
            assert "pass%2Fword" not in text
            assert "pass/word" not in text
