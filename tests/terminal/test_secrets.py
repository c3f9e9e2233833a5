"""Nothing secret is printed, whoever says it; what only looks like it is."""

from __future__ import annotations

import pytest

from builder.system.redaction import redacted
from tests.support.tiny_commands import ACTIONS, Commands


def test_nothing_secret_is_printed(commands: Commands) -> None:
    secrets = {
        "DAGSTER_CLOUD_API_TOKEN": "user:ddd-token",
        "GITHUB_TOKEN": "ghs_ttt-token",
        "GH_TOKEN": "ghp_hhh-token",
        "CI_JOB_TOKEN": "glcbt-jjj-token",
        "UV_DEFAULT_INDEX": "https://reader:p%40ss-uuu@host/simple",
        "UV_INDEX_OURS_PASSWORD": "vvv-password",
        "PIP_EXTRA_INDEX_URL": "https://a.b/ https://reader:ppp-password@host/simple",
    }
    url = "https://bucket.host/deps.pex?X-Amz-Algorithm=A&X-Amz-Signature=sss&x=1"
    body = f"""
        import os
        signed = ({url!r}, "X-Amz-Credential=kkk", "/x?a=b&Signature=ttt")
        words = " ".join([*os.environ.values(), "p@ss-uuu", *signed])
        console.note(words)
        console.result(words)
        console.table([words], [[words]])
        console.notices([Notice(words)])
        with console.step(words):
            pass
        with console.phase(words):
            pass
        console.set_interrupt_note(words)
        console.stopped("SIGTERM")
        console.error(ProjectError(words, detail=words, remedy=words), about=words)
        raise click.UsageError(words)
    """
    for env in (secrets, {**secrets, **ACTIONS}):
        for options in ([], ["--verbose"]):
            ran = commands.run(body, *options, env=env)
            said = ran.stdout + ran.stderr
            for part in ("-token", "-uuu", "-password", "sss", "kkk", "ttt", "X-Amz-Signature"):
                assert part not in said
            assert "https://bucket.host/deps.pex?***" in said
            assert "https://host/simple" in said


def test_innocent_words_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # A user's name in a URL is no secret, nor is a word too short to be one.
    monkeypatch.setenv("UV_INDEX_URL", "https://dagster@host/ https://reader:py@host/")
    monkeypatch.setenv("GITHUB_TOKEN", "")
    for text in ("dagster is python", "https://host/a?b=c", "signature = 1", "def f(sig=3, *, design=4)"):
        assert redacted(text) == text


def test_what_azure_and_google_sign_is_a_secret_too() -> None:
    signature = "0123456789abcdefghijklmnopqrstuvwxyz%3D"
    for query in (f"sv=2024&sig={signature}", f"X-Goog-Signature={signature}", f"Expires=1&Signature={signature}"):
        assert redacted(f"see https://host/a.pex?{query}, please") == "see https://host/a.pex?*** please"
