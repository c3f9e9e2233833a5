"""One job builds, without secrets; another delivers what it built, without running any of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.base_images import runs_only_images
from tests.support.commands import Ran, Workshop
from tests.support.deploying import DETAILS, Deploying, deploying
from tests.support.faulty_registry import serving_faulty_registry

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Deploying]:
    """Two locations, built by a job that knows nothing of Dagster Cloud; then their code is another."""
    with deploying(tmp_path) as made:
        workspace = made.locations("sales", "stock")
        made.place.run("deploy", workspace, made.place.out).succeeded()
        made.run_before("sales", "stock")
        made.change("sales")
        yield made


def assert_delivered(made: Deploying, name: str) -> None:
    """The deployment runs what was built, under names of its content."""
    built, objects = made.built(name), made.cloud.objects()
    names = {kind: f"{kind}-{built[kind]['sha256'][:40]}.pex" for kind in ("deps", "source")}
    assert all(file in (made.runs(name) or "") for file in names.values())
    for kind, file in names.items():
        assert objects[file] == (made.place.out / built[kind]["file"]).read_bytes()


def test_a_name_of_a_file_in_production_is_not_taken(built: Deploying) -> None:
    """Whoever builds without secrets could otherwise replace what another location runs."""
    first, other = (built.built(name)["deps"] for name in ("sales", "stock"))
    taken = f"deps-{'0' * 40}.pex"
    (built.place.out / first["file"]).rename(built.place.out / taken)
    (built.place.out / first["file"]).with_suffix(".pylock.toml").rename(
        (built.place.out / taken).with_suffix(".pylock.toml")
    )
    path = built.place.out / "build.json"
    path.write_text(path.read_text().replace(first["file"], taken).replace(other["file"], taken))
    built.deploy("--built").succeeded()
    assert taken not in built.cloud.objects()
    assert_delivered(built, "sales")
    error = built.deploy("--built", "--deps-cache-tag-write", "t").failed(2)
    assert "only the job that built it knows" in error


@pytest.mark.parametrize(
    "entry",
    ["text", {"error": []}, {"deps": 3}, {"source": {"files": float("inf")}}],
    ids=["text", "error", "deps", "inf"],
)
def test_an_entry_that_is_none_is_an_error_of_its_location(built: Deploying, entry: str | dict[str, Any]) -> None:
    path = built.place.out / "build.json"
    report = json.loads(path.read_text())
    good = report["locations"][0]
    if isinstance(entry, dict) and "source" in entry:
        entry["source"] |= {key: good["source"][key] for key in ("file", "sha256")}
    report["locations"][0] = {**good, **entry} if isinstance(entry, dict) else entry
    path.write_text(json.dumps(report))
    ran = built.deploy("--built")
    assert "build.json" in (ran.failed(2) if entry == "text" else ran.failed())
    built.assert_untouched("sales")


def test_what_was_built_is_delivered_and_nothing_is_built(built: Deploying) -> None:
    (built.place.root / "project sales" / "setup.py").write_text("raise SystemError('it is run')\n")
    ran = built.deploy("--built").succeeded()
    assert "uv" not in ran.stderr
    for name in ("sales", "stock"):
        assert_delivered(built, name)


def deliver_alone(made: Deploying, *arguments: str | Path) -> Ran:
    """Run `builder.deploy OUT_DIR --built` where nothing of the project is."""
    elsewhere = made.place.root / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    options = ("--built", "--upload-pex", "--update-code-location", DETAILS)
    return made.place.run("deploy", *arguments, *options, env=made.cloud.environ(), cwd=elsewhere)


def test_the_output_directory_is_all_that_is_needed_to_deliver_it(built: Deploying) -> None:
    deliver_with = {}
    for alone in (False, True):
        ran = deliver_alone(built, built.place.out) if alone else built.deploy("--built")
        ran.succeeded()
        assert_delivered(built, "sales")
        deliver_with[alone] = built.cloud.locations("prod")
        built.run_before("sales", "stock")
        if not alone:
            for name in ("dagster_cloud.yaml", "project sales", "project stock"):
                (built.place.root / name).rename(built.place.root / f"{name} gone")
    assert deliver_with[True] == deliver_with[False]
    deliver_alone(built, built.place.out, "--location", "sales").succeeded()
    assert_delivered(built, "sales")
    built.assert_untouched("stock")
    error = deliver_alone(built, built.place.out, "--location", "nope").failed(2)
    assert "there is no location `nope` in" in error


@pytest.mark.parametrize(
    "words, missing", [([], "WORKSPACE"), (["out"], "OUT_DIR"), (["--built", "--upload-pex"], "OUT_DIR")], ids=str
)
def test_the_argument_that_is_missing_is_named(place: Workshop, words: list[str], missing: str) -> None:
    ran = place.run("deploy", *words)
    assert ran.code == 2
    assert ran.stderr.startswith("Usage: builder.pex -m builder.deploy [OPTIONS] WORKSPACE OUT_DIR")
    assert f"Missing argument '{missing}'" in ran.stderr


@pytest.mark.parametrize(
    "change",
    [{"name": "a\nb"}, {"settings": []}, {"registry": 3}, {"code_source": {"a": "b"}}, {"directory": 1}],
    ids=str,
)
def test_a_declaration_that_is_none_is_delivered_nowhere(built: Deploying, change: dict[str, Any]) -> None:
    path = built.place.out / "build.json"
    report = json.loads(path.read_text())
    report["locations"][0] |= change
    path.write_text(json.dumps(report))
    ran = deliver_alone(built, built.place.out)
    assert "build.json" in ran.failed(ran.code or 1)
    built.assert_untouched("sales")


def test_a_file_that_is_not_what_was_built_is_not_delivered(built: Deploying) -> None:
    file = built.place.out / built.built("sales")["source"]["file"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    error = built.deploy("--built").failed()
    assert "location `sales`" in error
    assert "is not the file that was built" in error
    built.assert_untouched("sales")
    assert_delivered(built, "stock")


@pytest.mark.parametrize("name", ["../outside.pex", "/etc/hostname", "source-0.pex", "build.json"])
def test_build_json_names_nothing_but_pex_files_beside_it(built: Deploying, name: str) -> None:
    (built.place.root / "outside.pex").write_text("private")
    (built.place.out / "source-0.pex").symlink_to(built.place.root / "outside.pex")
    path = built.place.out / "build.json"
    report = json.loads(path.read_text())
    report["locations"][0]["source"]["file"] = name
    path.write_text(json.dumps(report))
    assert "is not in" in built.deploy("--built").failed()
    built.assert_untouched("sales")
    assert_delivered(built, "stock")


def test_without_a_build_it_is_an_error(built: Deploying) -> None:
    path = built.place.out / "build.json"
    for content in ("", "[]", '{"locations": [{}]}'):
        path.write_text(content)
        assert "not what builder.deploy writes" in built.deploy("--built").failed(2)
    path.write_text(json.dumps({"python_version": "3.9", "locations": []}))
    assert "is for Python 3.9" in built.deploy("--built").failed(2)


def _damage(out: Path) -> None:
    (path,) = [path for path in (out / "image-sales" / "blobs" / "sha256").iterdir() if path.stat().st_size > 3000]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"x")


def _another_digest(out: Path) -> None:
    report = json.loads((out / "build.json").read_text())
    report["locations"][0]["image"]["digest"] = f"sha256:{'0' * 64}"
    (out / "build.json").write_text(json.dumps(report))


MISTAKES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "nothing transferred": (
        lambda out: (out / "build.json").unlink(),
        *(
            "is not there, or not what builder.deploy writes",
            "Build first, with `builder.deploy WORKSPACE OUT_DIR`",
        ),
    ),
    "only build.json transferred": (
        lambda out: shutil.rmtree(out / "image-sales"),
        *("`image-sales` of build.json is not in", "Transfer the whole output directory"),
    ),
    "index without blobs": (
        lambda out: shutil.rmtree(out / "image-sales" / "blobs"),
        *("is damaged: `sha256:", "Transfer the output directory again, or build anew"),
    ),
    "damaged blob": (_damage, "has other bytes than its name says", "Transfer the output directory again"),
    "image of another build": (
        _another_digest,
        "is not the image that was built",
        "Transfer the output directory",
    ),
    "lock not transferred": (
        lambda out: next(out.glob("deps-*.pylock.toml")).unlink(),
        *(".pylock.toml` of build.json is not in", "Transfer the whole output directory"),
    ),
}
"""What can go wrong between the job that builds an image and the one that delivers it: words of error and hint."""


def test_what_another_job_built_is_delivered_without_building_if_no_byte_differs(tmp_path: Path) -> None:
    with deploying(tmp_path) as here, serving_faulty_registry() as registry:
        workspace = here.locations("sales")
        here.place.environment |= runs_only_images(here.cloud, registry, here.place.root / ".docker")
        here.place.run("deploy", workspace, here.place.out, "--format=image").succeeded()
        here.run_before("sales")
        (here.place.root / "project sales" / "requirements.txt").write_text("no-such-thing\n")
        whole = shutil.copytree(here.place.out, tmp_path / "whole")
        for name, (spoil, what, remedy) in MISTAKES.items():
            spoil(here.place.out)
            ran = here.deploy("--built")
            error = ran.failed(ran.code or 1)
            assert what in error.splitlines()[0], name
            assert remedy in error.partition("\nhint: ")[2], name
            here.assert_untouched("sales")
            shutil.rmtree(here.place.out)
            shutil.copytree(whole, here.place.out)
        here.cloud.api.registry_is_harbor = False
        assert "it was built as an image" in here.deploy("--built").failed()
        here.cloud.api.registry_is_harbor = True
        assert not registry.blobs.get("acme/prefix/sales")
        here.deploy("--built").succeeded()
        assert here.cloud.locations("prod")["sales"]["image"].endswith(here.built()["image"]["digest"])
