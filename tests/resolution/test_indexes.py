"""One package index, configured by pip, uv or the project, and its credentials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import FetchError, ProjectError
from builder.project.requirements_txt import read_requirements_txt
from builder.resolution.indexes import read_indexes
from builder.resolution.wheels import fetch_wheels
from tests.support.commands import DAGSTER, workshop, write_tree
from tests.support.index import USER, Index
from tests.support.indexed_project import SECRET, IndexedProject, put, put_dagster


@pytest.mark.parametrize("how", ["environment", "pip.conf", "requirements.txt", "uv"])
def test_a_private_index_alone_is_enough(indexed: IndexedProject, how: str) -> None:
    put_dagster(indexed.private)
    put(indexed.private, "acme", "1.0")
    url = indexed.private.full_url
    if how == "environment":
        indexed.configure(PIP_INDEX_URL=url)
    elif how == "pip.conf":
        indexed.pip_conf(f"index-url = {url}")
    elif how == "uv":
        indexed.configure(UV_DEFAULT_INDEX=url)
    options = f"--index-url {url}\n" if how == "requirements.txt" else ""
    assert indexed.versions(f"{options}acme\n") == {"acme": "1.0"}


def test_credentials_are_found_in_netrc(indexed: IndexedProject) -> None:
    put_dagster(indexed.private)
    netrc = indexed.root / "my netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {SECRET}\n")
    indexed.configure(PIP_INDEX_URL=indexed.private.url, NETRC=str(netrc))
    assert indexed.versions() == {}


def test_credentials_are_asked_of_the_keyring_that_pip_is_told_to_use(indexed: IndexedProject) -> None:
    put_dagster(indexed.private)
    keyring = indexed.root / "bin" / "keyring"
    write_tree(keyring.parent, {"keyring": f'#!/bin/sh\n[ "$1 $3" = "get {USER}" ] && echo {SECRET}\n'})
    keyring.chmod(0o755)
    indexed.configure(
        PIP_INDEX_URL=indexed.private.url.replace("://", f"://{USER}@"),
        PIP_KEYRING_PROVIDER="subprocess",
        PATH=f"{keyring.parent}:/usr/bin:/bin",
    )
    assert indexed.versions() == {}


@pytest.mark.parametrize("how", ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "PIP_EXTRA_INDEX_URL"])
@pytest.mark.parametrize("password", ["wr0ng", ""])
def test_a_password_that_the_index_refuses_is_one_clear_error(
    indexed: IndexedProject, how: str, password: str
) -> None:
    credentials = f"{USER}:{password}@" if password else ""
    indexed.configure(**{how: indexed.private.url.replace("://", f"://{credentials}")})
    with pytest.raises(FetchError) as caught:
        indexed.resolve()
    said = "403 Forbidden" if password else "401 Unauthorized"
    assert caught.value.what == (
        f"the package index {indexed.private.url} refuses its user name or password, or wants one ({said})"
    )
    assert "wr0ng" not in str(vars(caught.value))
    assert "UV_INDEX_NAME_PASSWORD" in str(caught.value.remedy)


def test_a_refused_password_is_not_told_by_a_command_however_verbose(
    serve: Callable[..., Index], tmp_path: Path
) -> None:
    private = serve(tmp_path / "private", password=SECRET)
    (tmp_path / "work").mkdir()
    with workshop(tmp_path / "work") as shop:
        env = {"UV_DEFAULT_INDEX": "", "PIP_INDEX_URL": private.full_url.replace(SECRET, "wr0ng")}
        ran = shop.run("deps", shop.project(), shop.out, "--verbose", env=env)
    assert ran.code == 1
    assert ran.stderr.count("error: ") == 1
    assert f"{private.url} refuses its user name or password" in ran.stderr
    assert "wr0ng" not in ran.stdout + ran.stderr


def test_files_that_want_credentials_are_told_as_such(indexed: IndexedProject) -> None:
    text = 'lock-version = "1.0"\ncreated-by = "uv"\n'
    for name in ("dagster", "dagster-cloud"):
        file = f"{name.replace('-', '_')}-{DAGSTER}-py3-none-any.whl"
        url = f"{indexed.private.url.removesuffix('simple/')}files/{file}"
        text += f'[[packages]]\nname = "{name}"\nversion = "{DAGSTER}"\n'
        text += f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
    lock = indexed.resolve(files={"pylock.toml": text})
    with pytest.raises(FetchError, match="could not be fetched") as caught:
        fetch_wheels(lock)
    assert "answered with HTTP 401 (it wants credentials)" in str(caught.value.detail)


@pytest.mark.parametrize(
    "url", ["https://-bevil.Keyring/simple", "https://%2Dp.@host/simple", "https://-p.:x@host/simple"]
)
def test_no_index_of_a_project_becomes_an_option_of_a_program(tmp_path: Path, url: str) -> None:
    (tmp_path / "uv.toml").write_text(f'keyring-provider = "subprocess"\n[[index]]\nname = "i"\nurl = "{url}"\n')
    with pytest.raises(ProjectError, match="begins with a hyphen"):
        read_indexes(tmp_path)


@pytest.mark.parametrize("insecure", ["host.test", "host.test:8443", "*"])
def test_a_project_cannot_have_a_password_of_the_machine_sent_to_an_unknown_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, insecure: str
) -> None:
    project = tmp_path / "project"
    index = '[[tool.uv.index]]\nname = "i"\nurl = "https://host.test:8443/simple"\n'
    write_tree(project, {"pyproject.toml": f'[tool.uv]\nallow-insecure-host = ["{insecure}"]\n{index}'})
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert read_indexes(project).transport.insecure_hosts == (insecure,)
    (tmp_path / "netrc").write_text("machine host.test login u password p\n")
    with pytest.raises(ProjectError, match="would send a password to"):
        read_indexes(project)
    (tmp_path / "netrc").unlink()
    monkeypatch.setenv("UV_INDEX_I_PASSWORD", "p")
    with pytest.raises(ProjectError, match="would send a password to"):
        read_indexes(project)
    # What the user says counts.
    (project / "pyproject.toml").write_text(index)
    monkeypatch.setenv("UV_INSECURE_HOST", insecure)
    assert read_indexes(project).transport.insecure_hosts == (insecure,)


def test_a_requirements_file_trusts_no_host(indexed: IndexedProject) -> None:
    (indexed.root / "requirements.txt").write_text("--trusted-host host.test\nacme\n")
    lines = read_requirements_txt(indexed.root / "requirements.txt").options
    assert read_indexes(indexed.root, lines).transport.insecure_hosts == ()
