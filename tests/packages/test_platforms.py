"""Packages with native code: wheels for several platforms, from building to locks and the contexts of images."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from builder.errors import PackagesError
from builder.packages.images.staging import stage
from builder.packages.platforms import wheel_for
from builder.packages.wheelhouse import BuiltPackage, WheelFile, Wheelhouse, read_wheelhouse, write_wheelhouse
from builder.resolution.target import platform_target
from builder.system import storage
from tests.support.commands import Ran, run_command
from tests.support.monorepo import add_special_packages, make_monorepo
from tests.support.programs import REPOSITORY
from tests.support.wheels import make_wheel

COMMIT = "a" * 40
AMD64, ARM64 = "cp310-abi3-manylinux_2_17_x86_64", "cp310-abi3-manylinux_2_17_aarch64"


def _run(*arguments: str | Path) -> Ran:
    return run_command("packages", *arguments, directory=REPOSITORY)


def _house(directory: Path, tag: str, *, version: str = "1.0", commit: str = COMMIT) -> Wheelhouse:
    """A wheelhouse of one package with native code, and one without."""
    directory.mkdir()
    packages = []
    for name, its_tag in (("acme-native", tag), ("acme-pure", "py3-none-any")):
        files = {f"{name.replace('-', '_')}/__init__.py": f"tag = {tag!r}\n"}
        made = make_wheel(directory, files, name=name, version=version, tag=its_tag)
        packages.append(
            BuiltPackage(
                name=name,
                version=version,
                import_names=(name.replace("-", "_"),),
                console_scripts=(),
                wheel=made.path.name,
                sha256=made.sha256,
                size=made.path.stat().st_size,
                requires=(),
                family=None,
                has_webapp=False,
                summary="",
            )
        )
    wheelhouse = Wheelhouse(directory=directory, commit=commit, source_date_epoch=0, packages=tuple(packages))
    write_wheelhouse(wheelhouse)
    return wheelhouse


def test_each_platform_has_its_wheel_and_no_other_gets_it() -> None:
    def package(*tags: str) -> BuiltPackage:
        files = [WheelFile(f"acme-1.0-{tag}.whl", "", 0) for tag in tags]
        return BuiltPackage(
            name="acme",
            version="1.0",
            import_names=("acme",),
            console_scripts=(),
            wheel=files[0].filename,
            sha256="",
            size=0,
            requires=(),
            family=None,
            has_webapp=False,
            summary="",
            other_wheels=tuple(files[1:]),
        )

    amd64, arm64 = platform_target("linux/amd64", "3.11"), platform_target("linux/arm64", "3.11")
    both = package(AMD64, ARM64)
    assert (wheel_for(both, amd64).filename, wheel_for(both, arm64).filename) == (
        f"acme-1.0-{AMD64}.whl",
        f"acme-1.0-{ARM64}.whl",
    )
    # The nearer of two.
    assert wheel_for(package(AMD64, "cp311-cp311-linux_x86_64"), amd64).filename.startswith("acme-1.0-cp311")
    assert wheel_for(package("py3-none-any"), arm64).filename == "acme-1.0-py3-none-any.whl"
    for tags in ((AMD64,), ("cp312-cp312-linux_aarch64",), ("cp311-cp311-manylinux_2_99_aarch64",)):
        with pytest.raises(PackagesError, match=r"`acme` has no wheel for Python 3\.11 on linux aarch64"):
            wheel_for(package(*tags), arm64)


def test_wheelhouses_of_two_machines_become_one(tmp_path: Path) -> None:
    _house(tmp_path / "house", AMD64)
    other = _house(tmp_path / "other", ARM64)

    _run("merge", tmp_path / "house", tmp_path / "other").succeeded()
    ran = _run("merge", tmp_path / "house", tmp_path / "other").succeeded()

    assert f"acme_native-1.0-{ARM64}.whl" in ran.stdout
    merged = read_wheelhouse(tmp_path / "house")
    merged.check_wheels()
    native, pure = merged.packages
    assert [file.filename for file in native.files] == [f"acme_native-1.0-{tag}.whl" for tag in (AMD64, ARM64)]
    assert pure.sha256 != other.packages[1].sha256
    assert len((tmp_path / "house" / "SHA256SUMS").read_text().splitlines()) == 3
    _run("lock", tmp_path / "house", "--select", "acme-native").succeeded()
    locked = (tmp_path / "house" / "locks" / "acme-native.txt").read_text()
    assert all(f"--hash=sha256:{file.sha256}" in locked for file in native.files)
    assert f"acme-native is for these only: {AMD64}, {ARM64}." in locked

    staged = stage(merged, native, ["linux/amd64", "linux/arm64"], "3.11")
    assert [[wheel.filename for wheel in each.wheels] for each in staged] == [
        [f"acme_native-1.0-{AMD64}.whl"],
        [f"acme_native-1.0-{ARM64}.whl"],
    ]
    # A lock from before the merge would install nothing on the other machine.
    merged.lock_path(native).write_text(locked.replace(native.other_wheels[0].sha256, "0" * 64))
    with pytest.raises(PackagesError, match="means another wheel of `acme-native`"):
        stage(merged, native, ["linux/arm64"], "3.11")


@pytest.mark.parametrize(
    "more, said", [({"commit": "b" * 40}, "was built of commit bbb"), ({"version": "1.1"}, "is not 1.0")]
)
def test_what_does_not_belong_together_is_refused(tmp_path: Path, more: dict[str, str], said: str) -> None:
    _house(tmp_path / "house", AMD64)
    _house(tmp_path / "other", ARM64, **more)

    assert said in _run("merge", tmp_path / "house", tmp_path / "other").failed(2)


@pytest.mark.slow
@pytest.mark.network
def test_a_package_with_native_code_is_built_the_same_each_time_and_works(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "pyproject")
    add_special_packages(repository)
    _run("version", repository.path, "--version", "1.13.30").succeeded()
    sums = []
    for name in ("one", "two"):
        built = _run("build", repository.path, "--out", tmp_path / name, "--select", "dagster-cron")
        assert "dagster-cron has native code; its wheel is for cp310-abi3-manylinux" in built.succeeded().stderr
        (wheel,) = (tmp_path / name).glob("dagster_cron-*.whl")
        sums.append(storage.sha256_of(wheel))
    assert sums[0] == sums[1]
    python = ["--python-version", f"{sys.version_info.major}.{sys.version_info.minor}"]
    _run("lock", tmp_path / "one", *python).succeeded()
    _run("check", tmp_path / "one", *python, "--select", "dagster-cron").succeeded()

    # Told before an engine is started or a base image is fetched.
    imaged = _run(
        *("image", "--wheelhouse", tmp_path / "one", "--package", "dagster-cron", "--out", tmp_path / "images"),
        *(
            "--platform",
            "linux/amd64,linux/arm64",
            "--source",
            "https://example.com",
            "--base",
            "localhost:1/b",
        ),
    )
    assert "`dagster-cron` has no wheel for Python 3.11 on linux aarch64: the wheelhouse has" in imaged.failed()
