"""A laptop: what git says, whatever the state of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.deployment import git
from builder.deployment.destination import (
    BranchDeployment,
    FullDeployment,
    ResolvedDestination,
    find_destination,
    read_context,
)
from builder.errors import ContextError
from tests.support.repositories import COMMITTED, Repository

ORIGIN = "git@github.com:acme/my.github.io.git"
URL = "https://github.com/acme/my.github.io"


def choose(
    directory: Path, deployment: str | None = None, environ: Mapping[str, str] | None = None
) -> ResolvedDestination:
    return find_destination(directory, environ or {}, deployment=deployment, details=None)


def full(directory: Path, deployment: str | None = None) -> FullDeployment:
    choice = choose(directory, deployment)
    assert isinstance(choice.destination, FullDeployment)
    assert choice.notices == ()
    return choice.destination


def branch_deployment(directory: Path) -> BranchDeployment:
    destination = choose(directory).destination
    assert isinstance(destination, BranchDeployment)
    return destination


def refused(directory: Path) -> ContextError:
    """The checkout alone does not say; an explicit deployment does."""
    with pytest.raises(ContextError) as caught:
        choose(directory)
    assert "`--deployment NAME`" in str(caught.value.remedy)
    assert "--code-location-details deployment=NAME" in str(caught.value.remedy)
    assert full(directory, "staging").name == "staging"
    return caught.value


def commit_object(repository: Repository, person: bytes, message: bytes, headers: bytes = b"") -> str:
    """A commit of these very bytes, which `git commit` would refuse; its hash."""
    tree = repository.git("write-tree").encode()
    raw = repository.path / "raw"
    raw.write_bytes(b"tree %s\nauthor %s\ncommitter %s\n%s\n%s\n" % (tree, person, person, headers, message))
    return repository.git("hash-object", "--literally", "-t", "commit", "-w", str(raw))


class TestBranches:
    @pytest.mark.parametrize("branch", ["main", "master"])
    def test_the_usual_default_branch_goes_to_prod(self, tmp_path: Path, branch: str) -> None:
        repository = Repository.create(tmp_path / "a b" / "größe", branch=branch, origin=ORIGIN)
        head = repository.commit()
        found = full(repository.path)
        assert found.name == "prod"
        assert (found.git.commit_hash, found.git.url) == (head, f"{URL}/tree/{head}")
        assert (found.git.provider, found.git.repo_owner, found.git.repo_name) == (
            "github",
            "acme",
            "my.github.io",
        )
        assert full(repository.path, "staging").name == "staging"

    def test_what_origin_calls_its_default_branch_counts_more(self, tmp_path: Path) -> None:
        origin = Repository.create(tmp_path / "origin", branch="develop")
        origin.commit()
        origin.git("branch", "main")
        repository = Repository(tmp_path / "clone")
        origin.git("clone", "-q", str(origin.path), str(repository.path))
        repository.git("remote", "set-url", "origin", ORIGIN)
        assert full(repository.path).name == "prod"
        assert full(repository.path).git.base_branch == "develop"
        repository.git("checkout", "-q", "main")
        assert branch_deployment(repository.path).branch == "main"

    def test_any_other_branch_has_a_branch_deployment(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "x", branch="feature/größe", origin=ORIGIN)
        head = repository.commit()
        found = branch_deployment(repository.path)
        assert (found.repository, found.branch) == ("acme/my.github.io", "feature/größe")
        assert (found.pull_request, found.status, found.base_deployment) == (None, "OPEN", None)
        assert found.branch_url == f"{URL}/tree/feature/gr%C3%B6%C3%9Fe"
        commit = found.commit
        assert (commit.hash, commit.timestamp, commit.message) == (head, COMMITTED, "Räume auf")
        assert (commit.author_name, commit.author_email) == ("Zoë Author", "zoe@example.com")
        assert commit.url == f"{URL}/commit/{head}"
        assert full(repository.path, "prod").name == "prod"

    def test_a_branch_without_a_repository_on_a_server_is_refused(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "x", branch="feature")
        repository.commit()
        assert "`feature`" in refused(repository.path).what
        repository.git("remote", "add", "origin", "/srv/git/x.git")
        refused(repository.path)

    def test_a_tag_of_the_same_name_does_not_matter(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        repository.commit()
        repository.git("tag", "main")
        assert full(repository.path).name == "prod"


class TestWhatGitCannotTell:
    def test_a_detached_head(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "a b", origin=ORIGIN)
        head = repository.commit()
        repository.git("checkout", "-q", "--detach")
        assert "detached" in refused(repository.path).what
        assert full(repository.path, "prod").git.commit_hash == head

    def test_a_branch_without_a_commit(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        assert "no commit" in refused(repository.path).what

    def test_no_repository(self, tmp_path: Path) -> None:
        error = refused(tmp_path)
        assert str(tmp_path) in error.what
        assert "not a git repository" in str(error.detail)
        assert full(tmp_path, "prod").git.commit_hash is None
        refused(tmp_path / "missing")

    def test_no_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        repository.commit()
        monkeypatch.setenv("PATH", str(tmp_path))
        assert "could not start `git`" in str(refused(repository.path).detail)

    @pytest.mark.parametrize("name", ["CHANGE_ID", "CIRCLE_PULL_REQUEST", "TRAVIS_PULL_REQUEST"])
    def test_a_pull_request_of_another_provider(self, tmp_path: Path, name: str) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        repository.commit()
        for deployment in (None, "prod"):
            with pytest.raises(ContextError, match=name):
                choose(repository.path, deployment, {name: "12"})
        assert isinstance(choose(repository.path, None, {name: "false"}).destination, FullDeployment)


class TestHostileSurroundings:
    def test_a_checkout_of_another_user(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        head = repository.commit()
        # The switch that git's own tests have instead of a second user, who would need root.
        suspicious = tmp_path / "bin" / "git"
        suspicious.parent.mkdir()
        real = shutil.which("git")
        suspicious.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {real} "$@"\n', "utf-8")
        suspicious.chmod(0o755)
        monkeypatch.setenv("PATH", f"{suspicious.parent}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(subprocess.CalledProcessError, match="128"):
            repository.git("rev-parse", "HEAD")
        assert full(repository.path).git.commit_hash == head

    def test_a_bare_repository_among_the_files_does_not_lead_to_production(self, tmp_path: Path) -> None:
        """Its files can be committed: `git -C` would take it for the repository, and its branch for ours."""
        repository = Repository.create(tmp_path / "x", branch="feature", origin=ORIGIN)
        repository.commit()
        project = repository.path / "project"
        repository.git("clone", "-q", "--bare", str(repository.path), str(project))
        (project / "HEAD").write_text("ref: refs/heads/main\n", "utf-8")
        repository.git("--git-dir", str(project), "update-ref", "refs/heads/main", "feature")
        assert branch_deployment(project).branch == "feature"

    @pytest.mark.parametrize("kind", ["submodule", "its own main", "file", "directory", "symlink"])
    def test_nothing_that_a_commit_can_add_leads_to_production(self, tmp_path: Path, kind: str) -> None:
        other = Repository.create(tmp_path / "other", origin=ORIGIN)
        other.commit()
        repository = Repository.create(tmp_path / "x", branch="feature", origin=ORIGIN)
        project = repository.path / "project"
        if kind == "symlink":
            project.symlink_to(other.path)
            repository.git("add", "-A")
        elif kind in {"submodule", "its own main"}:
            repository.git("submodule", "add", "-q", str(other.path), "project")
            if kind == "submodule":
                Repository(project).git("checkout", "-q", "--detach")
        else:
            # As an archive that is unpacked over a checkout may have it.
            project.mkdir()
            (project / "dagster_cloud.yaml").touch()
            repository.git("add", "-A")
            other.git("clone", "-q", "--bare", str(other.path), str(project / "fake"))
            if kind == "file":
                (project / ".git").write_text("gitdir: fake\n", "utf-8")
            else:
                (project / "fake").rename(project / ".git")
        repository.commit()
        error = refused(project)
        assert ("detached" if kind == "submodule" else "where the branch `feature` of") in error.what
        # Where both say the same, that is it.
        repository.git("checkout", "-q", "-b", "main")
        assert kind == "submodule" or full(project).name == "prod"

    def test_a_submodule_names_no_other_branch_deployment(self, tmp_path: Path) -> None:
        other = Repository.create(tmp_path / "other", branch="colleague")
        other.commit()
        repository = Repository.create(tmp_path / "x", branch="feature", origin=ORIGIN)
        repository.git("submodule", "add", "-q", str(other.path), "project")
        repository.commit()
        Repository(repository.path / "project").git("remote", "set-url", "origin", ORIGIN)
        assert "`colleague` of `acme/my.github.io`" in refused(repository.path / "project").what
        assert branch_deployment(repository.path).branch == "feature"

    def test_a_repository_that_the_one_around_it_does_not_track_is_its_own(self, tmp_path: Path) -> None:
        around = Repository.create(tmp_path / "home", origin=ORIGIN)
        around.commit()
        around.git("worktree", "add", "-q", "-b", "feature", "worktrees/feature")
        assert branch_deployment(around.path / "worktrees/feature").branch == "feature"
        (tmp_path / "link").symlink_to(around.path / "worktrees/feature")
        assert branch_deployment(tmp_path / "link").branch == "feature"

    def test_a_hook_that_redirects_git(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        head = repository.commit()
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
        monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
        assert full(repository.path).git.commit_hash == head

    def test_settings_that_change_what_git_prints(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        signed = commit_object(
            repository, b"Zo\xc3\xab <a@b> 5 +0000", b"R\xc3\xa4ume", b"gpgsig -----BEGIN PGP SIGNATURE-----\n"
        )
        (tmp_path / ".gitconfig").write_text("[not a setting", "utf-8")
        monkeypatch.setenv("HOME", str(tmp_path))
        for setting in ("log.showSignature=true", "color.ui=always", "i18n.logOutputEncoding=latin1"):
            repository.git("config", *setting.split("="))
        gpg = tmp_path / "gpg"
        gpg.write_text("#!/bin/sh\necho 'gpg: looked at it' >&2\n", "utf-8")
        gpg.chmod(0o755)
        repository.git("config", "gpg.program", str(gpg))
        assert "looked at it" in repository.git("log", "-1", "--format=%H", signed)
        commit = git.read_commit(repository.path, signed)
        assert commit is not None
        assert (commit.hash, commit.message, commit.author_name) == (signed, "Räume", "Zoë")

    def test_a_commit_that_a_partial_clone_lacks_is_not_fetched(self, tmp_path: Path) -> None:
        origin = Repository.create(tmp_path / "origin")
        origin.commit()
        origin.git("config", "uploadpack.allowFilter", "true")
        origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
        clone = Repository(tmp_path / "clone")
        origin.git("clone", "-q", "--filter=tree:0", f"file://{origin.path}", str(clone.path))
        later = origin.commit("later")
        assert git.read_commit(clone.path, later) is None

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "x", origin=ORIGIN)
        broken = commit_object(repository, b"\xff <a@b> nonsense", b"\xfe")
        commit = git.read_commit(repository.path, broken)
        assert commit is not None
        assert (commit.author_name, commit.timestamp) == ("\N{REPLACEMENT CHARACTER}", 0.0)

    @pytest.mark.parametrize("text", ["HEAD", "main", "--output=/tmp/x", "a" * 39, "A" * 40, ""])
    def test_nothing_but_a_hash_is_asked_for(self, tmp_path: Path, text: str) -> None:
        repository = Repository.create(tmp_path / "x")
        repository.commit()
        assert git.read_commit(repository.path, text) is None

    def test_credentials_of_the_remote_stay_with_git(self, tmp_path: Path) -> None:
        origin = "https://user:s3cret@github.com/acme/x.git"
        repository = Repository.create(tmp_path / "x", branch="feature", origin=origin)
        repository.commit()
        assert "s3cret" not in repr(choose(repository.path))
        assert read_context(repository.path, {}).repository_url == "https://github.com/acme/x"


@pytest.mark.parametrize(
    "url, name, address, provider",
    [
        ("git@github.com:acme/proj.git", "acme/proj", "https://github.com/acme/proj", "github"),
        ("github.com:acme/proj", "acme/proj", "https://github.com/acme/proj", "github"),
        (
            "https://github.com/acme/my.github.io",
            "acme/my.github.io",
            "https://github.com/acme/my.github.io",
            "github",
        ),
        ("https://github.com/acme/a.git.b.git/", "acme/a.git.b", "https://github.com/acme/a.git.b", "github"),
        (
            "https://oauth2:glpat-x@gitlab.corp.example:8443/group/sub/proj.git",
            "group/sub/proj",
            "https://gitlab.corp.example:8443/group/sub/proj",
            "gitlab",
        ),
        ("ssh://git@GitLab.corp.example:2222/a/b/c", "a/b/c", "https://gitlab.corp.example/a/b/c", "gitlab"),
        ("http://git.corp.example/a/b.git", "a/b", "http://git.corp.example/a/b", None),
        ("git@github-work:acme/proj.git", "acme/proj", None, "github"),
    ],
)
def test_a_remote(url: str, name: str, address: str | None, provider: str | None) -> None:
    remote = git.parse_remote(url)
    assert remote is not None
    assert (remote.name, remote.url, remote.provider) == (name, address, provider)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/acme/x.git",
        "../x/y",
        "file:///srv/acme/x.git",
        "https://github.com/",
        "https://github.com/x",
        "git@github.com:x.git",
        "https://github.com/acme/.git",
        "https://[::1/acme/x",
        "https://host:port/acme/x",
    ],
)
def test_no_remote(url: str) -> None:
    assert git.parse_remote(url) is None
