"""What commands say of what a build is made of: nothing of a small one, of others what to change."""

from __future__ import annotations

import json
from pathlib import Path

from builder.resolution.target import serverless_target
from tests.support.commands import Ran, Workshop, put_setuptools, write_tree
from tests.support.wheels import make_wheel

MB = 1_000_000


def zeros(megabytes: float) -> bytes:
    return bytes(int(megabytes * MB))


def put_cuda(place: Workshop) -> Path:
    """A project that needs a torch for GPUs."""
    shelf = place.index.directory
    make_wheel(shelf, {"nvidia/cublas.so": zeros(3)}, name="nvidia-cublas-cu12", version="12.8")
    make_wheel(shelf, {"nvidia/nccl.so": zeros(1)}, name="nvidia-nccl-cu12", version="2.27")
    make_wheel(
        shelf,
        {"torch/__init__.py": ""},
        name="torch",
        version="2.9.0",
        requires=["nvidia-cublas-cu12 (==12.8)", "nvidia-nccl-cu12; sys_platform == 'linux'"],
    )
    return place.project({"requirements.txt": "dagster\ndagster-cloud\n\ntorch>=2  # models\n"})


def warnings(ran: Ran) -> list[str]:
    ran.succeeded()
    return [line.removeprefix("warning: ") for line in ran.stderr.splitlines() if line.startswith("warning: ")]


def table(ran: Ran, title: str) -> list[list[str]]:
    """The rows of the table whose first column has this title, split at blanks."""
    blocks = [block.splitlines() for block in ran.succeeded().stdout.split("\n\n")]
    (found,) = [block for block in blocks if block[0].startswith(title)]
    return [line.split() for line in found[1:]]


def test_of_a_small_build_nothing_is_said(place: Workshop) -> None:
    ran = place.build(place.project()).succeeded()
    assert len(ran.stdout.splitlines()) == 4
    assert "largest" not in ran.stdout
    assert warnings(ran) == []


def test_what_takes_the_space(place: Workshop) -> None:
    shelf = place.index.directory
    twice = b"x" * (MB + MB // 2)
    make_wheel(
        shelf,
        {"big/data.bin": zeros(21), "big/tests/data.bin": zeros(2.5), "big/latest.py": zeros(0.5)},
        name="big",
    )
    make_wheel(shelf, {"huge/one.so": zeros(40), "huge/a.so": twice, "huge/b.so": twice}, name="huge")
    make_wheel(shelf, {"small.bin": zeros(19)}, name="small")
    project = place.project({"requirements.txt": "dagster\ndagster-cloud\nbig\nhuge\nsmall\n"})
    brief = place.build(project)
    rows = table(brief, "largest distributions")
    assert [row[:2] for row in rows] == [["huge", "1.0"], ["big", "1.0"], ["3", "others"], ["all", "5"]]
    assert rows[0][-2:] == ["43.0", "MB"]
    assert rows[1][-4:] == ["24.0", "MB", "2.5", "MB"]
    assert rows[3][-4:] == ["86.0", "MB", "2.5", "MB"]
    assert ", 86.0 MB unpacked" in brief.stdout
    full = place.build(project, "--report")
    names = [row[0] for row in table(full, "distributions")]
    assert names == ["huge", "big", "small", "dagster-cloud", "dagster", "all"]
    assert [row[:2] for row in table(full, "the same content several times")] == [
        ["huge:", "huge/a.so"],
        ["huge:", "huge/b.so"],
    ]
    assert "largest" not in full.stdout


def test_cuda_on_serverless_is_warned_of_with_the_line_to_change(place: Workshop) -> None:
    project = put_cuda(place)
    said = (
        "project/requirements.txt:4: nvidia-cublas-cu12, nvidia-nccl-cu12 take 4.0 MB, for torch 2.9.0,"
        " but Serverless has no GPU that CUDA could use; require `torch==2.9.0+cpu`, and name PyTorch's index of"
        " builds for CPUs for it alone (`[tool.uv.sources]` and an index with `explicit = true`)"
    )
    assert warnings(place.build(project)) == [said]
    target = serverless_target("3.11")
    platform = {"marker_environment": dict(target.markers), "compatible_tags": [*target.tag_names, "py2-none-any"]}
    (place.root / "platform.json").write_text(json.dumps(platform), encoding="utf-8")
    assert warnings(place.build(project, "--platform", place.root / "platform.json")) == []


def test_what_is_there_twice_and_what_to_do(place: Workshop) -> None:
    shelf = place.index.directory
    make_wheel(shelf, {"botocore/session.py": ""}, name="botocore")
    make_wheel(shelf, {"oldcli/botocore/session.py": ""}, name="oldcli", requires=["aiobotocore"])
    make_wheel(shelf, {"aiobotocore/session.py": ""}, name="aiobotocore", requires=["botocore"])
    project = place.project(
        {
            "requirements.txt": "dagster\ndagster-cloud\nbotocore\noldcli\n",
            "lib/vendor/botocore/session.py": "",
            "lib/vendor/botocore-0.9.dist-info/METADATA": "",
            "lib/vendor/Dagster_Cloud-1.0.dist-info/METADATA": "",
            "lib/vendor/other-1.0.dist-info/METADATA": "",
        }
    )
    workspace = place.workspace(
        "locations:\n  - {location_name: one, build: {directory: project}, code_source: {module_name: answer}}\n"
    )
    of_deps = "the AWS SDK is there 2 times, in `botocore`, `oldcli` (`oldcli/botocore`); require only one of them"
    of_source = (
        "`lib/vendor` has copies of what the deps PEX has too: botocore 0.9, dagster-cloud 1.0; to leave them out,"
        " write `/lib/vendor/` into `.builderignore`"
    )
    assert warnings(place.run("deploy", workspace, place.out)) == [of_deps, of_source]
    write_tree(project, {".builderignore": "/lib/vendor/\n"})
    assert warnings(place.run("deploy", workspace, place.out)) == [of_deps]


def test_large_source_files_and_how_to_leave_them_out(place: Workshop) -> None:
    project = place.project()
    for name, megabytes in {
        "a.bin": 11,
        "data/[b] *.bin": 14,
        "data/c.bin": 13,
        "d.bin": 12,
        "e.bin": 9.9,
    }.items():
        path = project / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zeros(megabytes))
    said = warnings(place.run("source", project, place.out))
    uploaded = "which are uploaded with each change of the code; to avoid that, write"
    assert said == [
        rf"`data/[b] *.bin` has 14.0 MB, {uploaded} `/data/\[b] \*.bin` into `.builderignore`",
        f"`data/c.bin` has 13.0 MB, {uploaded} `/data/c.bin` into `.builderignore`",
        f"`d.bin` has 12.0 MB, {uploaded} `/d.bin` into `.builderignore`",
        "1 more file has over 10.0 MB, 11.0 MB in all; --report names the largest",
    ]
    patterns = [line.split("`")[3] for line in said[:3]]
    (project / ".builderignore").write_text("\n".join([*patterns, "a.bin"]), encoding="utf-8")
    ran = place.run("source", project, place.out, "--report")
    assert warnings(ran) == []
    assert table(ran, "files of the source PEX")[0][0] == "working_directory/root/e.bin"


def test_tests_in_a_wheel_of_ones_own_are_warned_of(place: Workshop) -> None:
    project = place.project(
        {"requirements.txt": "dagster\ndagster-cloud\nother\n./wheels/own-1.0-py3-none-any.whl\n"}
    )
    (project / "wheels").mkdir()
    for directory, name in ((project / "wheels", "own"), (place.index.directory, "other")):
        make_wheel(directory, {f"{name}/tests/data.bin": zeros(6)}, name=name)
    (said,) = warnings(place.build(project))
    assert said.startswith(
        "`own` brings 6.0 MB of tests along; leave them out of its wheel, for example with exclude"
    )


def test_the_report_of_a_deploy_names_what_locations_share_once(place: Workshop) -> None:
    make_wheel(place.index.directory, {"big.bin": zeros(21)}, name="big")
    for name in ("one", "two"):
        place.project({"requirements.txt": "dagster\ndagster-cloud\nbig\n", f"{name}.py": ""}, name=name)
    workspace = place.workspace(
        "locations:\n"
        "  - {location_name: one, build: {directory: one}, code_source: {module_name: answer}}\n"
        "  - {location_name: two, build: {directory: two}, code_source: {module_name: answer}}\n"
    )
    ran = place.run("deploy", workspace, place.out, "--report").succeeded()
    titles = [block.splitlines()[0].split("  ")[0] for block in ran.stdout.split("\n\n")[1:]]
    locations = json.loads((place.out / "build.json").read_text(encoding="utf-8"))["locations"]
    assert titles == [
        "distributions",
        *(f"files of the source PEX {location['source']['file']}" for location in locations),
    ]
    assert [location["deps"]["largest"][0]["name"] for location in locations] == ["big", "big"]
    assert [location["deps"]["unpacked_size"] > 21 * MB for location in locations] == [True, True]


def test_what_the_cache_has_is_not_said_to_be_fetched(place: Workshop) -> None:
    project = place.project()
    assert "✓ fetched 2 wheels" in place.build(project).succeeded().stderr
    assert "✓ 2 wheels are in the cache" in place.build(project).succeeded().stderr
    make_wheel(place.index.directory, {"more.py": ""}, name="more")
    write_tree(project, {"requirements.txt": "dagster\ndagster-cloud\nmore\n"})
    assert "✓ fetched 1 of 3 wheels" in place.build(project).succeeded().stderr


def test_a_local_package_is_named_by_its_distribution_not_its_directory(place: Workshop) -> None:
    put_setuptools(place.index.directory)
    declared = "from setuptools import setup\nsetup(name='legacy_etl', version='1', py_modules=['etl'])\n"
    files = {"setup.py": declared, "etl.py": "", "requirements.txt": "dagster\ndagster-cloud\n."}
    ran = place.run("source", place.project(files, name="a"), place.out)
    assert ran.succeeded().stdout.splitlines()[1].endswith("installed: `legacy-etl`")
