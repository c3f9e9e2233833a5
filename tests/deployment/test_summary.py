"""What a run did, as markdown, and how it gets into the files that GitHub's runner reads."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.deployment.dependency_changes import DependencyChanges, dependency_changes
from builder.deployment.summary import (
    LocationSummary,
    RunSummary,
    comment_body,
    job_summary,
)
from builder.terminal.github_log import append_summary, write_outputs

CHANGES = DependencyChanges((("polars", "1.0"),), (("pandas", "2.2"),), (("dagster", "1.13.26", "1.13.27"),))
READY = LocationSummary(
    name="sales",
    state="ready",
    url="https://hooli.dagster.cloud/prod/locations/sales",
    version="files=deps-a.pex:source-b.pex",
    deps_size=63_000_000,
    source_size=12_300,
    sent_bytes=12_300,
    seconds=12.34,
    changes=CHANGES,
)
FAILED = LocationSummary(
    name="stock",
    state="failed",
    error="no `x`\nin it",
    error_where="stock/defs.py:3",
    error_url="https://github.com/hooli/data/blob/0123/stock/defs.py#L3",
)


def outcome(*locations: LocationSummary) -> RunSummary:
    return RunSummary(
        deployment="prod",
        deployment_url="https://hooli.dagster.cloud/prod",
        commit_hash="0123456789abcdef",
        commit_url="https://github.com/hooli/data/commit/0123456789abcdef",
        run_url="https://github.com/hooli/data/actions/runs/1",
        locations=locations,
    )


def shown(markdown: str) -> str:
    """Markdown with its HTML read."""
    return html.unescape(re.sub("</?code>", "`", markdown))


def test_the_job_summary_tells_what_became_of_each_location() -> None:
    assert shown(job_summary(outcome(READY, FAILED))) == (
        "**Dagster Cloud**: deployment [`prod`](https://hooli.dagster.cloud/prod),"
        " commit [`0123456789`](https://github.com/hooli/data/commit/0123456789abcdef),"
        " [log](https://github.com/hooli/data/actions/runs/1)\n"
        "\n"
        "Locations: 1 failed, 1 ready\n"
        "\n"
        "| location | result | deps | source | sent | seconds | dependencies |\n"
        "| --- | --- | --: | --: | --: | --: | --- |\n"
        f"| [`sales`]({READY.url}) | ✅ ready | 63.0 MB | 12.3 kB | 12.3 kB | 12.3"
        " | 1 added, 1 removed, 1 changed |\n"
        "| `stock` | ❌ failed |  |  |  |  |  |\n"
        "\n"
        f"`stock` failed (at [`stock/defs.py:3`]({FAILED.error_url})):\n"
        "\n"
        "```\nno `x`\nin it\n```\n"
        "\n"
        "Dependencies of `sales` since the last deploy:\n"
        "\n"
        "- added: `polars` `1.0`\n"
        "- removed: `pandas` `2.2`\n"
        "- changed: `dagster` `1.13.26` → `1.13.27`\n"
        "\n"
        "<details><summary>What each location runs</summary>\n"
        "\n"
        "- `sales`: `files=deps-a.pex:source-b.pex`\n"
        "\n"
        "</details>\n"
    )


def test_the_comment_tells_the_same_in_short() -> None:
    building, halted = LocationSummary(name="a", state="building"), LocationSummary(name="b", state="stopped")
    body = shown(comment_body(outcome(READY, FAILED, building, halted)))
    assert "Locations: 1 failed, 1 stopped, 1 building, 1 ready\n" in body
    assert (
        "| location | result | dependencies |\n"
        "| --- | --- | --- |\n"
        f"| [`sales`]({READY.url}) | ✅ ready | 1 added, 1 removed, 1 changed |\n"
        "| `stock` | ❌ failed |  |\n"
        "| `a` | ⏳ building |  |\n"
        "| `b` | ⏹️ stopped |  |\n"
    ) in body
    assert "no `x`\nin it" in body
    assert "[log](https://github.com/hooli/data/actions/runs/1)" in body
    assert "polars" not in body


def test_a_branch_deployment_is_called_by_its_branch() -> None:
    run = replace(
        outcome(LocationSummary(name="a", state="building")),
        deployment="670bcd45fdf4ef88de304fb1d96ccfc0b9a6704d",
        branch="feature/x",
        pull_request="12",
        pull_request_url="https://github.com/hooli/data/pull/12",
    )
    for markdown in (job_summary(run), comment_body(run)):
        text = shown(markdown)
        assert "branch deployment [`feature/x`](https://hooli.dagster.cloud/prod)" in text
        assert "pull request [`#12`](https://github.com/hooli/data/pull/12)" in text
        assert "670bcd" not in text


def test_a_column_without_content_is_left_out() -> None:
    text = shown(job_summary(outcome(replace(READY, changes=None), LocationSummary(name="b", state="failed"))))
    assert "| location | result | deps | source | sent | seconds |\n" in text
    assert "| location | result |\n" in shown(comment_body(outcome(LocationSummary(name="b", state="building"))))


def test_what_is_not_known_is_left_out() -> None:
    body = comment_body(
        RunSummary(
            deployment="my-branch",
            deployment_url=None,
            commit_hash=None,
            commit_url=None,
            run_url=None,
            locations=(LocationSummary(name="a", state="building"),),
        )
    )
    assert shown(body).splitlines()[0] == "**Dagster Cloud**: deployment `my-branch`"
    body = comment_body(
        RunSummary(
            deployment=None,
            deployment_url=None,
            commit_hash=None,
            commit_url=None,
            run_url=None,
            locations=(LocationSummary(name="a", state="built"),),
        )
    )
    assert body.splitlines()[0] == "**Dagster Cloud**"
    unchanged = LocationSummary(name="a", state="ready", changes=DependencyChanges((), (), ()))
    assert "| ✅ ready | unchanged |" in comment_body(outcome(unchanged))
    assert "since the last deploy" not in job_summary(outcome(unchanged))


def test_changes_are_those_of_normalised_names() -> None:
    old = {"Dagster": "1.13.26", "typing_extensions": "4.1", "gone": "1"}
    new = {"dagster": "1.13.27", "typing-extensions": "4.1", "z-new": "2", "a.new": "3"}
    assert dependency_changes(old, new) == DependencyChanges(
        (("a-new", "3"), ("z-new", "2")), (("gone", "1"),), (("dagster", "1.13.26", "1.13.27"),)
    )


def test_of_many_changes_the_first_ten_are_shown() -> None:
    changes = dependency_changes({}, {f"part-{number:02}": "1" for number in range(25)})
    text = shown(job_summary(outcome(LocationSummary(name="a", state="ready", changes=changes))))
    assert "`part-09` `1` and 15 more\n" in text
    assert "part-10" not in text


ANYTHING = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("|`\n@<>[]()\\*_&;#")), max_size=60
)


@given(name=ANYTHING, version=ANYTHING, url=ANYTHING)
def test_no_name_has_a_meaning_in_markdown(name: str, version: str, url: str) -> None:
    changes = DependencyChanges(((name, version),), (), ())
    location = LocationSummary(
        name=name,
        state="ready",
        url="https://x/" + url.replace("\n", ""),
        version=name,
        error_where=name,
        error="x",
        changes=changes,
    )
    text = job_summary(
        RunSummary(
            deployment=name,
            deployment_url=None,
            commit_hash=None,
            commit_url=None,
            run_url=None,
            locations=(location,),
        )
    )
    for words in re.findall("<code>(.*?)</code>", text, re.DOTALL):
        assert not re.search(r"[|`\n@<>\[\]()\\*_]|&(?!#\d+;)", words)
    lines = text.splitlines()
    (row,) = (line for line in lines if "✅ ready" in line)
    assert row.count("|") == 4
    # The name is read as it is, white space aside.
    cell = re.search(r"<code>(.*?)</code>", row)
    assert cell
    assert html.unescape(cell[1]).split() == name.split() or "***" in cell[1] or "&#" in name


@given(ANYTHING)
@example("`````")
def test_no_error_ends_its_block(error: str) -> None:
    text = comment_body(outcome(LocationSummary(name="a", state="failed", error=f"x\n{error}\n@everyone")))
    opening = re.search(r"^(`{3,})\n", text, re.MULTILINE)
    assert opening
    inside = text[opening.end() : text.rindex(opening[1])]
    assert inside.endswith("@everyone\n")
    assert opening[1] not in inside


@pytest.mark.parametrize("url", ["javascript:alert(1)", "x", "", "data:text/html,x"])
def test_only_links_into_the_web_are_links(url: str) -> None:
    text = comment_body(
        RunSummary(
            deployment="prod",
            deployment_url=url,
            commit_hash="abc",
            commit_url=url,
            run_url=url,
            locations=(LocationSummary(name="a", state="ready", url=url),),
        )
    )
    assert "](" not in text


@pytest.mark.parametrize("count", [50, 600])
def test_it_is_never_too_long_and_failures_come_first(count: int) -> None:
    locations = [
        LocationSummary(name=f"{'|' * 90}{number}", state="ready", version="x" * 150, changes=CHANGES)
        for number in range(count)
    ]
    failures = [
        LocationSummary(name=f"bad{number}", state="failed", error="ü" * 9000) for number in range(count // 2)
    ]
    for text in (comment_body(outcome(*locations, *failures)), job_summary(outcome(*locations, *failures))):
        assert len(text.encode()) < 60_000
        assert "bad0" in text
        assert "The rest is in the log." in text
        assert text.count("```") % 2 == 0
        assert ("more locations" in text) == (text.count("| ✅ ready |") < count)


def test_outputs_are_added_each_as_it_is_and_none_can_make_another(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_text("earlier=1\n")
    assert write_outputs(path, {"deployment": "prod", "pex-tag": "a\nevil=1\nEOF"}) is None
    assert write_outputs(path, {"build-json": "out/build.json"}) is None
    # As the runner reads it.
    found, lines = {}, iter(path.read_text().splitlines())
    for line in lines:
        name, separator, delimiter = line.partition("<<")
        if not separator:
            name, _equals, found[name] = line.partition("=")
            continue
        value = list(iter(lambda: next(lines), delimiter))
        found[name] = "\n".join(value)
    assert found == {
        "earlier": "1",
        "deployment": "prod",
        "pex-tag": "a\nevil=1\nEOF",
        "build-json": "out/build.json",
    }
    delimiters = re.findall("<<(.*)", path.read_text())
    assert len(set(delimiters)) == 3


def test_the_summary_is_added_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_the_token")
    path = tmp_path / "summary"
    text = job_summary(outcome(LocationSummary(name="a ghs_the_token", state="failed", error="at ghs_the_token")))
    assert append_summary(path, text) is None
    assert append_summary(path, "bare ghs_the_token") is None
    written = html.unescape(path.read_text())
    assert "the_token" not in written
    assert written.count("***") == 4
    assert written.endswith("\n\nbare ***\n\n")


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    for notice in (write_outputs(tmp_path, {"a": "b"}), append_summary(tmp_path / "no" / "file", "x")):
        assert notice is not None
        assert notice.where is not None
        assert "could not be written: " in notice.text
