"""In GitHub Actions phases are groups, errors and warnings are annotations, and nobody else gives commands."""

from __future__ import annotations

import re

import pytest

from builder.terminal.console import Console
from tests.support.tiny_commands import ACTIONS, Commands


def test_phases_are_groups_in_actions_and_never_nested(commands: Commands) -> None:
    body = """
        with console.phase("Build 100%\\nof it"):
            console.note("one")
            with console.phase("Inner"):
                console.note("two")
            console.note("three")
        console.note("four")
    """
    said = "::group::Build 100%25%0Aof it\none\n::endgroup::\n::group::Inner\ntwo\n::endgroup::\nthree\nfour\n"
    assert commands.run(body, env=ACTIONS).succeeded().stderr == said
    assert commands.run(body).succeeded().stderr == "one\ntwo\nthree\nfour\n"


def test_a_group_of_github_actions_holds_what_was_said_of_it_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    console = Console()
    with console.during("Verify"):
        console.note("loads")
    with console.phase("Build"):
        console.note("built")
    with console.phase("Verify"):
        pass

    said = capsys.readouterr().err.splitlines()
    assert said == ["::group::Build", "built", "::endgroup::", "::group::Verify", "loads", "::endgroup::"]


def test_an_error_in_actions_is_outside_of_any_group_and_annotated_at_its_line(commands: Commands) -> None:
    body = """
        with console.phase("Build"):
            where = Origin(here / "a, b" / "py:project.toml", 7)
            console.error(
                ProjectError("100% wrong", where=where, detail="said so", remedy="Mend it"), about="location `a:b`"
            )
    """
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root)})
    assert ran.stderr == (
        "::group::Build\n::endgroup::\n"
        "error: location `a:b`: 100% wrong\n  where: a, b/py:project.toml:7\n  | said so\n\nhint: Mend it\n"
        "::error file=a%2C b/py%3Aproject.toml,line=7,title=location `a%3Ab`::100%25 wrong%0Ahint: Mend it\n"
    )
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root / "elsewhere")})
    assert "::error title=location `a%3Ab`::100%25 wrong" in ran.stderr


def test_warnings_in_actions_are_annotations(commands: Commands) -> None:
    body = """
        console.notices([Notice("take care", Origin(here / "a.txt", 3)), Notice("and of that")])
        console.notices([Notice("no warning", is_note=True)])
    """
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root)})
    assert ran.stderr == "::warning file=a.txt,line=3::a.txt:3: take care\n::warning::and of that\nno warning\n"


@pytest.mark.parametrize(
    "words",
    [
        "::set-env name=PATH::/evil",
        "  \t::error::x",
        "fine\n::add-mask::the",
        "so ##[add-path]/evil",
        # The runner compares as a language does, where these have no width.
        "\u00ad::error::x",
        ":\u200d:error::x",
        "#\u00ad#[error]x",
    ],
)
def test_words_of_others_are_no_workflow_commands(commands: Commands, words: str) -> None:
    body = f"""
        words = {words!r}
        console.note(words)
        console.result(words)
        console.notices([Notice(words, Origin(here / words, 1))])
        with console.step(words):
            pass
        with console.phase(words):
            pass
        console.error(ProjectError(words, detail=words, remedy=words, where=Origin(here / words, 1)), about=words)
        raise click.UsageError(words)
    """
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root)})
    written = []
    for line in (ran.stdout + ran.stderr).splitlines():
        bare = re.sub("[\u00ad\u200d]", "", line).lstrip()
        if bare.startswith("::"):
            written.append(bare.split("::")[1].split(" ")[0])
        else:
            assert "##[" not in bare
    assert written == ["warning", "group", "endgroup", "error"]
    # Elsewhere they are what they are.
    assert words.replace("\u00ad", "").split("\n")[-1] in commands.run(body).stdout.replace("\u00ad", "")
