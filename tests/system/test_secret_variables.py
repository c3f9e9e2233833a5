"""Code of the project gets all variables but secrets, known by name, by value, or by another's value."""

from __future__ import annotations

import base64
import random

import pytest

from builder.system import process
from builder.system.secret_variables import held_back

ORDINARY = {
    "BUILD_VERSION": "2.0",
    "CC": "gcc -pthread",
    "CFLAGS": "-O2 -I/opt/include",
    "MAKEFLAGS": "-j4",
    "PATH": "/usr/local/bin:/usr/bin",
    "HOME": "/home/runner",
    "LANG": "C.UTF-8",
    "TMPDIR": "/var/x",
    "PWD": "/x",
    "SOURCE_DATE_EPOCH": "315532800",
    "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_AUTH_SERVER": "1.2.3",
    "PDM_BUILD_SCM_VERSION": "3.1",
    "HATCH_BUILD_HOOKS_ENABLE": "1",
    "POETRY_DYNAMIC_VERSIONING_BYPASS": "4.0",
    "GITHUB_SHA": "b6589fc6ab0dc82cf12099d1c2d40ab994e8410c",
    "GITHUB_RUN_NUMBER": "77",
    "GITHUB_ACTIONS": "true",
    "CI_COMMIT_TAG": "v1.0",
    "CI_JOB_ID": "5",
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://gitlab.com/a/b",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "NO_PROXY": "localhost",
    "DATABASE_URL": "postgres://host/db",
    "GIT_AUTHOR_NAME": "Zoë",
    "KEYBOARD": "de",
    "COMPASS_MODE": "x",
    "AUTHOR": "me",
    "MONKEY": "x",
    "IMAGE": "python:3.11@sha256:0123456789abcdef",
    "LS_COLORS": "rs=0:di=01;34",
    "JAVA_HOME": "/usr/lib/jvm/17",
    "PROJECT": "MyVeryLongProjectName2024ForTheBuild",
    "NIX": "/nix/store/0c1h2Kx3Yz4wQ5r6T7u8V9a0B1c2D3e4-gcc",
    "REMOTE": "ssh://git@github.com/acme/x.git",
    "SSL_CERT_FILE": "/etc/ssl/ca.pem",
    "INDEX": "https://u@host/x",
}

SECRET_BY_NAME = {
    *("DAGSTER_CLOUD_API_TOKEN", "DAGSTER_CLOUD_ORGANIZATION", "GITHUB_TOKEN", "GITHUB_ENV", "GITHUB_PATH"),
    *("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_STATE", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_CACHE_URL"),
    *("CI_JOB_TOKEN", "CI_JOB_JWT", "CI_REPOSITORY_URL", "CI_REGISTRY_PASSWORD", "CI_DEPLOY_PASSWORD"),
    *(
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "MYSQL_PWD",
        "SNOWFLAKE_PWD",
        "PGPASSFILE",
    ),
    *(
        "BITBUCKET_APP_PW",
        "DEPLOY_KEY",
        "ENCRYPTION_KEY",
        "JWT",
        "SESSION_COOKIE",
        "SLACK_WEBHOOK_URL",
        "SENTRY_DSN",
    ),
    *(
        "AZURE_STORAGE_CONNECTION_STRING",
        "KUBECONFIG",
        "DOCKER_AUTH_CONFIG",
        "SSH_AUTH_SOCK",
        "GIT_ASKPASS",
        "NETRC",
    ),
    *(
        "npm_config__authToken",
        "PGPASSWORD",
        "OPENAI_API_KEY",
        "GH_PAT",
        "API_BEARER",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    *("UV_INDEX_PRIV_PASSWORD", "UV_PUBLISH_TOKEN", "TWINE_PASSWORD", "SYSTEM_ACCESSTOKEN", "HATCH_INDEX_AUTH"),
    *("CIRCLE_OIDC_TOKEN_V2", "SSH_PRIVATE_KEY", "DOCKER_CONFIG", "STRIPE_KEYS", "MY_APIKEY", "VAULT_PASSPHRASE"),
}

SECRET_BY_VALUE = [
    *("postgres://u:p4ss@host/db", "https://gitlab-ci-token:x@gitlab.com/a/b.git", "redis://:p4ss@cache:6379"),
    *(
        "https://ghp_abcdefghijklmnopqrst@github.com/a/b",
        "http://user:p4ss@proxy:3128",
        "ghs_0123456789abcdefghij",
    ),
    *("github_pat_11ABCDEFG0abcdefghij", "glpat-0123456789abcdefghij", "AKIAIOSFODNN7EXAMPLE", "xoxb-1234-abcd"),
    *(
        "Server=h;Database=d;User Id=u;Password=p4ss;",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=QUJD",
    ),
    *("Endpoint=sb://x/;SharedAccessKeyName=a;SharedAccessKey=QUJD=", "host=h user=u password=p4ss"),
    *('{"auths": {"registry": {}}}', '{"type": "service_account", "private_key": "x"}', "Bearer abcdefghijkl"),
    *(
        "https://hooks.slack.com/services/T0/B0/x",
        "https://discord.com/api/webhooks/1/x",
        "-----BEGIN RSA PRIVATE KEY-----",
    ),
    *("https://a.blob.core.windows.net/x?sv=1&sig=abc", "https://b.s3.amazonaws.com/x?X-Amz-Signature=abc"),
    *(
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "dapi0123456789abcdef0123456789abcdef",
        "sk-proj-abcdefghijklmnopqrstuv",
    ),
    *(
        "machine host login me password x",
        "db.example:5432:*:me:p4ss",
        "Accept: */*\nAuthorization: Bearer abcdefghijkl",
    ),
    *(
        "user:p4ss@host/db",
        "user:p4ss@tcp(host)/db",
        f"key-{'0a' * 16}",
        f"shpat_{'0a' * 16}",
        f"1234567890:{'aB' * 17}x",
    ),
    *("prefix npm_abcdefghijklmnopqrstuvwxyz0123456789", "pypi-AgEIcHlwaS5vcmcCJDEyMw", "dckr_pat_abc"),
]


def test_ordinary_variables_are_given() -> None:
    assert held_back(ORDINARY) == frozenset()


def test_secrets_are_known_by_name() -> None:
    assert held_back({**dict.fromkeys(SECRET_BY_NAME, "x"), **ORDINARY}) == SECRET_BY_NAME


@pytest.mark.parametrize("value", SECRET_BY_VALUE)
def test_secrets_are_known_by_value(value: str) -> None:
    assert held_back({"ORDINARY": value}) == {"ORDINARY"}


def test_random_keys_are_known_by_how_they_look() -> None:
    source = random.Random(1)  # noqa: S311  (keys that nobody uses)
    keys = {f"VALUE_{number}": base64.b64encode(source.randbytes(32)).decode() for number in range(500)}
    assert len(held_back(keys)) >= 480


def test_what_holds_the_value_of_a_secret_is_one() -> None:
    environment = {
        **ORDINARY,
        "DEPLOY_PASSWORD": "correct-horse-7",
        "COPY": "correct-horse-7",
        "OPTIONS": "--user=me --pass correct-horse-7",
        "DB_PASSWORD": "postgres",
        "DB_HOST": "postgres.local",
        "EMPTY_TOKEN": "",
    }
    assert held_back(environment) == {"DEPLOY_PASSWORD", "COPY", "OPTIONS", "DB_PASSWORD", "EMPTY_TOKEN"}


@pytest.mark.parametrize(
    "secret, copy",
    [
        ("correct-horse-7\n", "correct-horse-7"),
        ("first line\ncorrect-horse-7", "x=correct-horse-7"),
        ("correct/horse 7", "a=correct%2Fhorse%207"),
        ("correct-horse-7", base64.b64encode(b"me:correct-horse-7").decode()),
        ("correct-horse-7", base64.urlsafe_b64encode(b"??>me:correct-horse-7").decode().rstrip("=")),
    ],
)
def test_what_holds_a_secret_in_another_form_is_one(secret: str, copy: str) -> None:
    environment = {**ORDINARY, "DEPLOY_PASSWORD": secret, "COPY": copy}
    assert held_back(environment) == {"DEPLOY_PASSWORD", "COPY"}


def test_what_nothing_works_without_is_never_taken_for_a_secret_by_its_parts() -> None:
    environment = {
        "DB_PASSWORD": "/usr/local",
        "PATH": "/usr/local/bin",
        "HOME": "/usr/local",
        "OTHER": "/usr/local/x",
    }
    assert held_back(environment) == {"DB_PASSWORD", "OTHER"}


class TestEnvironments:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "_given", {})
        for name in SECRET_BY_NAME:
            monkeypatch.setenv(name, f"the-value-of-{name}")
        monkeypatch.setenv("BUILD_VERSION", "2.0")
        monkeypatch.setenv("HTTPS_PROXY", "http://user:p4ss@proxy:3128")
        monkeypatch.setenv("UV_INDEX_URL", "https://user:p4ss@index/simple")
        monkeypatch.setenv("PIP_INDEX_URL", "https://user:p4ss@index/simple")
        monkeypatch.setenv("UV_CONCURRENT_BUILDS", "2")
        monkeypatch.setenv("PYTHONPATH", "/x")

    def test_code_of_the_project_gets_ordinary_variables(self) -> None:
        environment = process.clean_environment({"EXTRA": "1"})
        assert SECRET_BY_NAME.isdisjoint(environment)
        assert {"HTTPS_PROXY", "UV_INDEX_URL", "PYTHONPATH"}.isdisjoint(environment)
        assert (environment["BUILD_VERSION"], environment["EXTRA"], environment["UV_CONCURRENT_BUILDS"]) == (
            "2.0",
            "1",
            "2",
        )

    def test_pip_gets_the_credentials_of_indexes_too(self) -> None:
        environment = process.installer_environment()
        more = set(environment) - set(process.clean_environment())
        assert more == {"HTTPS_PROXY", "NETRC", "PIP_INDEX_URL"}

    def test_programs_that_keep_credentials_get_all_but_the_tokens_of_ci(self) -> None:
        environment = process.credential_environment()
        assert "AWS_SECRET_ACCESS_KEY" in environment
        assert "DOCKER_CONFIG" in environment
        assert not {name for name in environment if name.startswith(("DAGSTER_CLOUD_", "ACTIONS_"))}
        assert {"GITHUB_TOKEN", "CI_JOB_TOKEN", "CI_REPOSITORY_URL"}.isdisjoint(environment)

    def test_the_user_may_name_what_is_given_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(process.PASS_ENV, "DEPLOY_KEY, SENTRY_DSN NOT_THERE")
        process.allow({"MYSQL_PWD": "another"})
        environment = process.clean_environment()
        given = {name: environment[name] for name in SECRET_BY_NAME & set(environment)}
        assert given == {
            "DEPLOY_KEY": "the-value-of-DEPLOY_KEY",
            "SENTRY_DSN": "the-value-of-SENTRY_DSN",
            "MYSQL_PWD": "another",
        }
        assert process.is_allowed("DEPLOY_KEY")
        assert not process.is_allowed("JWT")
