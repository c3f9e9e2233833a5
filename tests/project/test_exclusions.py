"""What stays out without being told: leftovers and secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ProjectError
from tests.support.selection import PRIVATE_KEY, Write, names, select


class TestLeftovers:
    @pytest.mark.parametrize(
        "name",
        [
            ".git/config",
            "vendored/.hg/store",
            "__pycache__/a.cpython-311.pyc",
            "package/__pycache__/a.cpython-311.pyc",
            "package/old.pyc",
            ".pytest_cache/v",
            ".mypy_cache/x",
            ".ruff_cache/x",
            ".tox/x",
            ".nox/x",
            ".cache/x",
            ".hypothesis/x",
            "notebooks/.ipynb_checkpoints/x",
            "ui/node_modules/left-pad/index.js",
            "package.egg-info/PKG-INFO",
            "src/package.egg-info/PKG-INFO",
            ".dagster_home/history/runs.db",
            ".tmp_dagster_home_ab12/x",
            ".DS_Store",
            "source-da39a3ee5e6b4b0d3255bfef95601890afd80709.pex",
            "old/deps-da39a3ee5e6b4b0d3255bfef95601890afd80709.pex",
            "deps-da39a3ee5e6b4b0d3255bfef95601890afd80709.pylock.toml",
            "deps-da39a3ee5e6b4b0d3255bfef95601890afd80709.cdx.json",
            "tools/builder.pex",
        ],
    )
    def test_leftovers_stay_out_silently(self, project: Path, write: Write, name: str) -> None:
        write("keep", name)
        selection = select(project)
        assert all(file.name != name for file in selection.files)
        assert "keep" in names(project)
        assert selection.secrets == ()
        assert selection.notices == ()

    @pytest.mark.parametrize(
        "name",
        [
            "build.py",
            "history/data.csv",
            "schedules/daily.py",
            "source-table.pex",
            "deps-v2.pex",
            "git",
            "env/prod.py",
        ],
    )
    def test_what_only_looks_like_a_leftover_belongs(self, project: Path, write: Write, name: str) -> None:
        write("pyproject.toml", name)
        assert name in names(project)

    @pytest.mark.parametrize("name", ["venv", "env", "tools/.venv311", ".env"])
    def test_virtual_environments_are_known_by_their_pyvenv_cfg(
        self, project: Path, write: Write, name: str
    ) -> None:
        write("keep", f"{name}/pyvenv.cfg", f"{name}/lib/python3.11/site-packages/cacert.pem")
        assert [found for found in names(project) if "site-packages" in found or "pyvenv" in found] == []

    def test_conda_environments_stay_out(self, project: Path, write: Write) -> None:
        write("keep", "conda/conda-meta/history", "conda/bin/python")
        assert names(project) == ["keep"]

    def test_a_build_directory_that_is_a_virtual_environment_is_an_error(
        self, project: Path, write: Write
    ) -> None:
        write("pyvenv.cfg", "lib/python3.11/site-packages/x.py")
        with pytest.raises(ProjectError, match="itself a virtual environment"):
            select(project)

    def test_what_setuptools_left_stays_out(self, project: Path, write: Write) -> None:
        write("setup.py", "build/lib/package/a.py", "build/bdist.linux-x86_64/x")
        write("dist/p-1.whl", "dist/p-1.tar.gz", "dist/.gitignore")
        assert names(project) == ["setup.py"]

    @pytest.mark.parametrize(
        "files",
        [
            ["setup.py", "build/__init__.py", "build/lib/a.py"],  # a package called build
            ["pyproject.toml", "build/index.html"],  # a web page
            ["pyproject.toml", "build/lib/a.py", "build/main.py"],
            ["package/build/lib/a.py"],  # no Python project beside it
            ["pyproject.toml", "dist/main.js"],
            ["pyproject.toml", "dist/data-2024.tar.gz"],
            ["pyproject.toml", "dist/__init__.py", "dist/p-1-py3-none-any.whl"],
        ],
    )
    def test_a_build_or_dist_with_anything_else_in_it_belongs(
        self, project: Path, write: Write, files: list[str]
    ) -> None:
        write(*files)
        assert names(project) == sorted(files)

    def test_the_history_of_a_used_dagster_home_stays_out(self, project: Path, write: Write) -> None:
        write("home/dagster.yaml", "home/history/runs.db", "home/schedules/schedules.db", "home/storage/asset")
        assert names(project) == ["home/dagster.yaml"]

    def test_code_beside_the_history_of_a_dagster_home_belongs(self, project: Path, write: Write) -> None:
        write("history/runs.db", "schedules/daily.py", "schedules/schedules.db")
        assert "schedules/daily.py" in names(project)

    @pytest.mark.parametrize("name", ["out", "deep/inside/out put"])
    def test_the_output_directory_stays_out_wherever_it_lies(self, project: Path, write: Write, name: str) -> None:
        write("keep", "other/out/keep", f"{name}/build.json")
        assert names(project, out_dir=project / name) == sorted(["keep", "other/out/keep", *_emptied(name)])

    def test_the_output_directory_is_known_through_a_symlink(
        self, project: Path, write: Write, tmp_path: Path
    ) -> None:
        write("keep", "out/build.json")
        (tmp_path / "elsewhere").symlink_to(project / "out")
        assert names(project, out_dir=tmp_path / "elsewhere") == ["keep"]

    def test_the_build_directory_may_be_its_own_output_directory(self, project: Path, write: Write) -> None:
        write("keep", "source-da39a3ee5e6b4b0d3255bfef95601890afd80709.pex")
        assert names(project, out_dir=project) == ["keep"]

    def test_an_output_directory_around_the_project_changes_nothing(self, project: Path, write: Write) -> None:
        write("keep")
        assert names(project, out_dir=project.parent) == ["keep"]


def _emptied(out: str) -> list[str]:
    """A directory in which the output directory was alone stays, empty."""
    return [parent] if (parent := out.rpartition("/")[0]) else []


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        [
            ".env",
            ".env.production",
            "app/.env.local",
            ".envrc",
            "server.pem",
            "SERVER.PEM",
            ".netrc",
            ".pypirc",
            ".git-credentials",
            ".dockercfg",
            ".docker/config.json",
            "id_rsa",
            "keys/id_ed25519",
            "snowflake.p8",
            "store.p12",
            ".dlt/secrets.toml",
            "gha-creds-0123456789abcdef.json",
            "infra/terraform.tfstate",
        ],
    )
    def test_secrets_stay_out_and_are_named(self, project: Path, write: Write, name: str) -> None:
        write("keep", name)
        selection = select(project)
        assert selection.secrets == (name,)
        assert all(file.path is None or file.name == "keep" for file in selection.files)

    @pytest.mark.parametrize(
        "name", [".aws", ".azure", ".kube", ".ssh", "home/.dagster_cloud_cli", ".config/gcloud", ".envs"]
    )
    def test_directories_of_secrets_are_named_as_a_whole(self, project: Path, write: Write, name: str) -> None:
        write("keep", f"{name}/a", f"{name}/b")
        assert select(project).secrets == (f"{name}/",)
        assert [found for found in names(project) if found.startswith(f"{name}/")] == []

    @pytest.mark.parametrize(
        "name",
        [
            ".env.example",
            ".env.sample",
            ".env.template",
            ".env.production.example",
            "environment.yml",
            "id_rsa.pub",
            "prod.env",
            ".docker/Dockerfile",
            ".dlt/config.toml",
            ".config/settings",
            "docs/pem",
        ],
    )
    def test_what_only_looks_like_a_secret_belongs(self, project: Path, write: Write, name: str) -> None:
        write(name)
        assert names(project) == [name]
        assert select(project).secrets == ()

    @pytest.mark.parametrize(
        "text",
        [
            PRIVATE_KEY,
            "\ufeff\n" + PRIVATE_KEY,
            PRIVATE_KEY.replace("RSA ", "ENCRYPTED "),
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + PRIVATE_KEY,
            "Bag Attributes\n    localKeyID: 01\nKey Attributes: <No Attributes>\n" + PRIVATE_KEY,
            "PuTTY-User-Key-File-3: ssh-ed25519\n",
        ],
    )
    def test_a_private_key_is_known_by_its_content(self, project: Path, write: Write, text: str) -> None:
        write("deploy.key", "no-suffix", text=text)
        assert select(project).secrets == ("deploy.key", "no-suffix")
        assert names(project) == []

    @pytest.mark.parametrize(
        "text",
        [
            '{"type": "service_account", "private_key": "-----BEGIN"}',
            '{"private_key": "x",\n "project": {"a": 1}, "type":"service_account"}',
            '{"type": "authorized_user", "client_id": "c", "refresh_token": "r"}',
        ],
    )
    def test_a_google_credential_is_known_by_its_content(self, project: Path, write: Write, text: str) -> None:
        write("acme-prod-1234.json", text=text)
        assert select(project).secrets == ("acme-prod-1234.json",)

    @pytest.mark.parametrize(
        "name, text",
        [
            ("keys.py", f'KEY = """\n{PRIVATE_KEY}"""'),
            ("fixture.py", PRIVATE_KEY),
            ("notes.txt", f"A key looks like this:\n{PRIVATE_KEY}"),
            ("public.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
            ("schema.json", '{"properties": {"private_key": {}, "type": {"const": "service_account"}}}'),
            ("broken.json", '{"private_key": "service_account"'),
            ("list.json", '["private_key", "service_account"]'),
            ("large.bin", PRIVATE_KEY + "x" * 100_000),
        ],
    )
    def test_a_file_that_mentions_a_key_belongs(self, project: Path, write: Write, name: str, text: str) -> None:
        write(name, text=text)
        assert names(project) == [name]

    def test_secrets_in_what_is_not_looked_at_are_not_named(self, project: Path, write: Write) -> None:
        write(".venv/pyvenv.cfg", ".venv/cacert.pem", "node_modules/a/key.pem", "mine/server.pem")
        write(".builderignore", text="mine/\n.netrc")
        write(".netrc")
        assert select(project).secrets == ()
