"""Which organization is asked, and with which token: what the variables and the login of the machine say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.deployment.login import Login, read_login
from builder.deployment.organization import Organization, read_organization
from builder.errors import CloudError
from tests.support.errors import words

TOKEN = "user:a-token"
URL = "https://acme.dagster.cloud"


@pytest.mark.parametrize(
    "environ, url",
    [
        ({"DAGSTER_CLOUD_URL": "https://acme.dagster.cloud/"}, URL),
        ({"DAGSTER_CLOUD_URL": " https://ACME.dagster.cloud\n"}, URL),
        ({"DAGSTER_CLOUD_URL": "http://127.0.0.1:3000"}, "http://127.0.0.1:3000"),
        ({"DAGSTER_CLOUD_URL": "http://[::1]:3000/"}, "http://[::1]:3000"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme"}, URL),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme/", "DAGSTER_CLOUD_ORGANIZATION": "acme"}, URL),
        ({"DAGSTER_CLOUD_URL": "https://eu.dagster.cloud/acme"}, "https://acme.eu.dagster.cloud"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme"}, URL),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme.eu"}, "https://acme.eu.dagster.cloud"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme", "DAGSTER_CLOUD_ENV": "eu"}, "https://acme.eu.dagster.cloud"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme", "DAGSTER_CLOUD_URL": f"{URL}/"}, URL),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme", "DAGSTER_CLOUD_URL": "http://localhost:1"}, "http://localhost:1"),
    ],
)
def test_the_address_is_read(environ: Mapping[str, str], url: str) -> None:
    organization = read_organization({**environ, "DAGSTER_CLOUD_API_TOKEN": f" {TOKEN}\r\n"}, Login)

    assert organization == Organization(url, TOKEN)
    assert TOKEN not in repr(organization)


@pytest.mark.parametrize(
    "environ, said",
    [
        ({}, "neither DAGSTER_CLOUD_URL nor DAGSTER_CLOUD_ORGANIZATION"),
        ({"DAGSTER_CLOUD_URL": "acme.dagster.cloud"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "ftp://acme.dagster.cloud"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "https://"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "https://acme.dagster.cloud:port"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "http://acme.dagster.cloud"}, "unencrypted"),
        ({"DAGSTER_CLOUD_URL": "http://127.0.0.1.example.org"}, "unencrypted"),
        ({"DAGSTER_CLOUD_URL": f"{URL}/prod"}, "`--deployment prod`"),
        ({"DAGSTER_CLOUD_URL": f"{URL}/prod/graphql"}, f"`{URL}`"),
        ({"DAGSTER_CLOUD_URL": f"{URL}?a=b"}, "query"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud"}, "names no organization"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme/prod"}, "`--deployment prod`"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme", "DAGSTER_CLOUD_ORGANIZATION": "other"}, "contradict"),
        ({"DAGSTER_CLOUD_URL": "https://me:pass@acme.dagster.cloud"}, "user name or a password"),
        ({"DAGSTER_CLOUD_URL": URL, "DAGSTER_CLOUD_ORGANIZATION": "other"}, "contradict"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme.dagster.cloud"}, "DAGSTER_CLOUD_ORGANIZATION is not the name"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "https://acme"}, "DAGSTER_CLOUD_ORGANIZATION is not the name"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(environ: Mapping[str, str], said: str) -> None:
    with pytest.raises(CloudError) as caught:
        read_organization({**environ, "DAGSTER_CLOUD_API_TOKEN": TOKEN}, Login)

    assert said in words(caught.value)
    assert caught.value.remedy
    assert "pass" not in words(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "token, said",
    [
        (None, "DAGSTER_CLOUD_API_TOKEN is not set"),
        ("", "forks"),
        (" \n", "DAGSTER_CLOUD_API_TOKEN is empty"),
        ("agent:acme:1 2", "a space"),
        ("agent:acme:1\n2", "line break"),
        ("agent:acmé:12", "no token has"),
    ],
)
def test_a_token_that_cannot_be_right_is_refused(token: str | None, said: str) -> None:
    given = {} if token is None else {"DAGSTER_CLOUD_API_TOKEN": token}

    with pytest.raises(CloudError) as caught:
        read_organization({"DAGSTER_CLOUD_URL": URL, **given}, Login)

    assert said in words(caught.value)
    assert "acm" not in words(caught.value)


DG = '[cli.plus]\norganization = "acme"\nuser_token = "user:acme:1"\n'
IN_EUROPE = f'{DG}url = "https://eu.dagster.cloud"\n'
CLI = "organization: acme.eu\nuser_token: user:acme:2\n"


@pytest.mark.parametrize(
    "files, environ, connection",
    [
        ({".config/dg.toml": DG}, {}, (URL, "user:acme:1")),
        ({".dagster_cloud_cli/config": CLI}, {}, ("https://acme.eu.dagster.cloud", "user:acme:2")),
        ({".config/dg.toml": DG}, {"DAGSTER_CLOUD_API_TOKEN": TOKEN}, (URL, TOKEN)),
        ({".config/dg.toml": DG}, {"DAGSTER_CLOUD_ORGANIZATION": "b"}, ("https://b.dagster.cloud", "user:acme:1")),
        ({".config/dg.toml": IN_EUROPE}, {}, ("https://acme.eu.dagster.cloud", "user:acme:1")),
    ],
)
def test_the_login_of_the_machine_is_used_where_the_environment_says_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: Mapping[str, str],
    environ: Mapping[str, str],
    connection: tuple[str, str],
) -> None:
    at_home(tmp_path, files, monkeypatch)

    assert read_organization(environ, read_login) == Organization(*connection)


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "nobody is logged in"),
        ({".config/dg.toml": "[cli"}, "login of this machine cannot be read"),
        ({".config/dg.toml": DG, ".dagster_cloud_cli/config": CLI}, "Please consolidate"),
    ],
)
def test_a_login_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], said: str
) -> None:
    at_home(tmp_path, files, monkeypatch)

    with pytest.raises(CloudError) as caught:
        read_organization({}, read_login)

    assert said in words(caught.value)


def at_home(home: Path, files: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("DAGSTER_CLOUD_CLI_CONFIG", str(home / ".dagster_cloud_cli" / "config"))
