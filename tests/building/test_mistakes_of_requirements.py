"""Mistakes in what a project requires: each is told with its line, its cause and its own remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.resolution import uv
from tests.support.commands import DAGSTER, Workshop, make_sdist, put_setuptools, workshop
from tests.support.mistakes import Mistake, check
from tests.support.wheels import make_wheel

HASH = f"--hash=sha256:{'a' * 64}"
LINUX = "cp311-cp311-manylinux_2_17_x86_64"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("mistakes")
    with workshop(root) as place:
        _fill(place.index.directory)
        place.index.yanked.add("gone-1.1-py3-none-any.whl")
        yield place
    shutil.rmtree(root)


def _fill(shelf: Path) -> None:
    code = {"module.py": ""}
    make_wheel(shelf, code, name="pandas", version="2.2.0", requires=["numpy>=1.22"])
    for version in ("1.21.0", "1.26.0"):
        make_wheel(shelf, code, name="numpy", version=version)
    make_wheel(shelf, code, name="old", version="1.0", tag="cp38-cp38-manylinux_2_17_x86_64")
    make_wheel(shelf, code, name="old", version="2.0", tag=LINUX)
    make_wheel(shelf, code, name="pywin32", version="306", tag="cp311-cp311-win_amd64")
    for version in ("1.0", "1.6", "2.0"):
        make_wheel(shelf, code, name="many", version=version)
    make_wheel(shelf, code, name="desktop", requires=["pywin32"])
    make_wheel(shelf, code, name="pyobjc", version="10.0", tag="cp311-cp311-macosx_11_0_universal2")
    make_sdist(shelf, {"setup.py": "raise SystemExit('only for macOS')"}, name="pyobjc", version="10.0")
    make_sdist(shelf, {"setup.py": "raise SystemExit('needs a compiler')"}, name="compiled", version="1.0")
    make_wheel(shelf, code, name="compiled", version="1.1", tag=LINUX)
    make_sdist(shelf, {"setup.py": "raise SystemExit('needs a blessing')"}, name="blessed")
    make_wheel(shelf, code, name="church", requires=["blessed"])
    fetching = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9/data')"
    make_sdist(shelf, {"setup.py": f"print('fetching http://files.invalid/data')\n{fetching}"}, name="fetching")
    newer = "Metadata-Version: 2.1\nName: newer\nVersion: 1.0\nRequires-Python: >=3.13\n\n"
    make_wheel(shelf, {"newer-1.0.dist-info/METADATA": newer}, name="newer")
    make_wheel(shelf, code, name="needy", requires=["nowhere-to-be-found"])
    make_wheel(shelf, code, name="narrow", requires=["numpy<1.22"])
    make_wheel(shelf, code, name="choosy", requires=["numpy==9.9"])
    for version in ("1.0", "2.0b1"):
        make_wheel(shelf, code, name="coming", version=version)
    for version in ("1.0", "1.1"):
        make_wheel(shelf, code, name="gone", version=version)
    put_setuptools(shelf)


def requiring(lines: str, where: str, what: str, remedy: str, *options: str) -> Mistake:
    """What follows `dagster` and `dagster-cloud` in requirements.txt."""
    files = {"requirements.txt": f"dagster\ndagster-cloud\n{lines}\n"}
    return Mistake(files, f"requirements.txt:{where}", what, remedy, options)


def declaring(dependency: str, where: str, what: str, remedy: str) -> Mistake:
    """A dependency in pyproject.toml, on line 3."""
    listed = f'dependencies = ["dagster", "dagster-cloud",\n  "{dependency}"]'
    files = {"requirements.txt": "", "pyproject.toml": f'[project]\nname = "mine"\n{listed}\nversion = "1"\n'}
    return Mistake(files, f"pyproject.toml:{where}", what, remedy)


MISTAKES = {
    "misspelt": requiring("panads", "3", "no index has a package `panads`", "Did you mean `pandas`? Write that"),
    "misspelt in pyproject": declaring("panads", "4", "no index has a package `panads`", "Did you mean `pandas`?"),
    "private": requiring(
        "acme-utils", "3", "no index has a package `acme-utils`", "`--extra-index-url URL` in `req"
    ),
    "private in pyproject": declaring("acme-utils", "4", "no index has", "`[[tool.uv.index]]` with `url`"),
    "missing, of another": requiring(
        "needy", "3", "`nowhere-to-be-found`, which `needy` needs", "another version of `needy`; if"
    ),
    "no such version": requiring("pandas==9.9", "3", "there is no `pandas==9.9`", "is `pandas==2.2.0`"),
    "no such version, nearest": requiring("many==1.5", "3", "there is no `many==1.5`", "nearest is `many==1.6`"),
    "too new": requiring("numpy>=99", "3", "there is no `numpy>=99`", "is `numpy==1.26.0`"),
    "Windows only": requiring(
        "pywin32==306", "3", "`pywin32` is for Windows only", "`pywin32==306 ; sys_platform == 'win32'`"
    ),
    "Windows only, any version": requiring(
        "pywin32", "3", "for Windows only", "`pywin32 ; sys_platform == 'win32'`"
    ),
    "Windows only, of another": requiring(
        "desktop", "3", "and `desktop` needs it", "`desktop ; sys_platform == 'win32'`"
    ),
    "macOS only": requiring("pyobjc==10.0", "3", "`pyobjc==10.0`", "`pyobjc==10.0 ; sys_platform == 'darwin'`"),
    "other Python": requiring("old==1.0", "3", "`old` has no wheel for Python 3.11", "Require `old==2.0`"),
    "needs a newer Python": requiring(
        "newer==1.0", "3", "needs Python >=3.13, and the target has 3.11", "--python-version 3."
    ),
    "needs a compiler": requiring(
        "compiled==1.0", "3", "`compiled==1.0`, and none could be built", "Require `compiled==1.1`"
    ),
    "no build, of another": requiring("church", "3", "`blessed==1.0`, which `church` needs", "`blessed` asks for"),
    "build without network": requiring(
        "fetching", "3", "none could be built here", "downloads from `files.invalid`, which does not answer"
    ),
    "conflict": requiring(
        "pandas\nnumpy<1.22", "3", "contradict", "`pandas` (requirements.txt:3) and `numpy<1.22` (req"
    ),
    "conflict of others": requiring(
        "pandas\nnarrow", "3", "contradict", "(requirements.txt:3) and `narrow` (requirements.txt:4)"
    ),
    "conflict with oneself": requiring(
        "numpy==1.26.0\nnumpy==1.21.0", "3", "contradict", "`numpy==1.21.0` (requirements.txt:4)"
    ),
    "other's version": requiring(
        "choosy", "3", "cannot be resolved", "(requirements.txt:3): it needs `numpy==9.9`, which no index has"
    ),
    "only wheels": requiring(
        "--only-binary :all:\nblessed", "4", "`blessed` has no wheel", "`--no-binary blessed`"
    ),
    "yanked": requiring("gone>1.0", "3", "`gone==1.1` was withdrawn", "Require `gone==1.0`"),
    "prerelease that is not there": requiring(
        "coming==2.0b9", "3", "there is no `coming==2.0b9`", "has to be named: `coming==2.0b1`"
    ),
    "hash of another file": Mistake(
        {"requirements.txt": f"dagster=={DAGSTER} {HASH}\ndagster-cloud=={DAGSTER} {HASH}\n"},
        *(
            "requirements.txt:1",
            f"no file of `dagster=={DAGSTER}` has a hash",
            "make the hashes again: `uv pip compile requirements.in --gen",
        ),
    ),
    "hash of one only": requiring(f"pandas==2.2.0 {HASH}", "1", "give no hash for it", "all need one"),
    "URL of nothing": requiring(
        "x @ INDEX/files/x-1.0-py3-none-any.whl",
        "3",
        "`x-1.0-py3-none-any.whl` (404",
        "Correct the URL: `curl -I http://",
    ),
    "no such repository": requiring(
        "x @ git+file:///nowhere/x@v1",
        "3",
        "git repository of `x` does not exist",
        "`git ls-remote file:///nowhere/x`",
    ),
    "host of a repository": requiring(
        "x @ git+http://127.0.0.1:9/x@v1", "3", "`127.0.0.1` does not answer", "Check the address"
    ),
    "index without answer": Mistake(
        {"requirements.txt": "--index-url http://127.0.0.1:9/simple/\ndagster\ndagster-cloud\n"},
        *(
            "requirements.txt:1",
            "the package index `127.0.0.1` cannot be reached",
            "Check the address of the index",
        ),
    ),
    "address of the index": Mistake(
        {"requirements.txt": "--index-url INDEX/smple/\ndagster\ndagster-cloud\n"},
        *("requirements.txt:1", "no index has a package `dagster`", "correct the address of the index, `http://"),
    ),
    "editable path": requiring("-e ./libs/comon", "3", "does not exist", "Correct the path"),
    "included file": requiring("-r base.txt", "3", "which does not exist", "Correct the path or add the file"),
    "impossible by itself": requiring(
        "numpy>=2,<2", "3", "cannot be resolved", "Change `numpy>=2,<2` (requirements.txt:3): no version is all"
    ),
    "page of a repository": requiring(
        "https://github.com/a/b", "3", "is a git repository, and no archive", "`git+https://github.com/a/b`"
    ),
    "address of git": requiring(
        "x @ git+ssh://git@github.com:a/b.git@v1",
        "3",
        "as `git clone` takes it",
        "write `/` in place of the colon behind `github.com`",
    ),
    "Python itself": requiring(
        "python>=3.11", "3", "means Python itself, which is no package", "Remove that line"
    ),
    "version for a URL": requiring("numpy@1.26", "3", "`1.26` behind `@` is no URL", "Write `numpy==1.26`\n"),
    **{
        f"not PEP 508, {text[:30]}": requiring(text, "3", "is not a valid requirement", f"{remedy}\n")
        for text, remedy in {
            "numpy=>1": "Write `numpy>=1`",
            "pandas==latest": "Write `pandas`",
            "\u201cpandas\u201d": "Write `pandas`",
            "pandas \u2265 2": "Write `pandas>=2`",
            "pandas ; python_version > \u201c3.9\u201d": 'Write `pandas; python_version > "3.9"`',
            "pip install pandas": "Write `pandas`",
            "!pip install -U pandas numpy<2": "Write each by itself: `pandas`, then `numpy<2`",
            'pandas = "^2.0"': "Write `pandas<3.0,>=2.0`",
            'pandas = { version = "2.0" }': "Write `pandas==2.0`",
            'pandas = "*"': "Write `pandas`",
            "pandas~2.0": "Write `pandas<2.1,>=2.0`",
            "pandas=2.1": "Write `pandas==2.1.*`",
            "conda-forge::pandas=2.1.4=py311_0": "Write `pandas==2.1.4`",
            "pandas 2.0": "Write `pandas==2.0`",
            "pandas==2.x": "Write `pandas==2.*`",
            "pandas>2.*": "Write `pandas>2`",
            '"pandas>=2",': "Write `pandas>=2`",
            "- pandas": "Write `pandas`",
            "pandas, numpy": "Write each by itself: `pandas`, then `numpy`",
            "import pandas": "such as `pandas>=2`, or remove it if it is no requirement",
        }.items()
    },
    "not PEP 508, in pyproject": declaring(
        "pandas = 2.1", "4", "is not a valid requirement", "Write `pandas==2.1.*`"
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_to_type_next(shop: Workshop, name: str) -> None:
    mistake = MISTAKES[name]
    index = shop.index.url.removesuffix("/simple/")
    directory = f"p-{list(MISTAKES).index(name)}"
    files = {file: text.replace("INDEX", index) for file, text in mistake.files.items()}
    ran = shop.build(shop.project(files, name=directory), *mistake.options)
    check(mistake, ran, directory)


def test_what_a_lock_has_and_cannot_be_built_is_told_with_its_line(shop: Workshop) -> None:
    shop.environment.update(PATH=os.environ["PATH"])
    for name, where in (("compiled==1.0", "pyproject.toml:5"), ("church", "uv.lock:")):
        directory = f"locked-{name[:6]}"
        listed = f'[\n  "{name}",\n  "dagster",\n  "dagster-cloud",\n]'
        text = f'[project]\nname = "mine"\nversion = "1"\ndependencies = {listed}\nrequires-python = ">=3.11"\n'
        files = {"requirements.txt": "", "pyproject.toml": f"{text}[tool.uv]\npackage = false\n"}
        project = shop.project(files, name=directory)
        subprocess.run([uv.executable(), "lock", "--quiet"], cwd=project, env=shop.environment, check=True)
        lines = (project / "uv.lock").read_text(encoding="utf-8").splitlines()
        line = lines.index('name = "blessed"') + 1 if where.endswith(":") else ""
        error = shop.build(project).failed()
        assert f"\n  where: {directory}/{where}{line}\n" in error, error


def test_extras_that_conflict_are_named_with_the_line_that_says_so(shop: Workshop) -> None:
    extras = "[project.optional-dependencies]\nold = ['numpy==1.21.0']\nnew = ['numpy==1.26.0']\n"
    settings = "[tool.uv]\npackage = false\nconflicts = [[{ extra = 'old' }, { extra = 'new' }]]\n"
    head = "[project]\nname = 'mine'\nversion = '1'\nrequires-python = '>=3.11'\n"
    text = f"{head}dependencies = ['dagster', 'dagster-cloud']\n{extras}{settings}"
    project = shop.project({"requirements.txt": "", "pyproject.toml": text}, name="conflicting")
    environment = {**shop.environment, "PATH": os.environ["PATH"]}
    subprocess.run([uv.executable(), "lock", "--quiet"], cwd=project, env=environment, check=True)
    error = shop.build(project, "--extra", "old", "--extra", "new").failed()
    assert "error: Extras `new` and `old` are not to be installed together" in error
    assert "\n  where: conflicting/pyproject.toml:11\n" in error
    assert "hint: Leave out one of them" in error
    shop.build(project, "--extra", "old").succeeded()


@pytest.mark.parametrize("damage", ["cut off", "not a zip", "bad CRC"])
def test_a_damaged_archive_is_named(shop: Workshop, tmp_path: Path, damage: str) -> None:
    wheel = make_wheel(tmp_path, {"x.py": "x = 1\n"}, name="broken", version="1.0").path
    content = wheel.read_bytes()
    half = len(content) // 2
    changed = bytes([*content[:60], content[60] ^ 255, *content[61:]])
    wheel.write_bytes({"cut off": content[:half], "not a zip": b"<html>" * 50, "bad CRC": changed}[damage])
    project = shop.project({"requirements.txt": f"dagster\ndagster-cloud\n{wheel}\n"}, name=f"broken-{half}")
    error = shop.build(project).failed()
    assert "error: `broken-1.0-py3-none-any.whl` is damaged" in error
    assert "requirements.txt:3" in error
    assert "hint: Replace the file" in error


def test_an_extra_that_does_not_exist_is_warned_of(shop: Workshop) -> None:
    project = shop.project({"requirements.txt": "dagster\ndagster-cloud\npandas[nope]\n"}, name="extra")
    said = "warning: extra/requirements.txt:3: The package `pandas==2.2.0` does not have an extra named `nope`; "
    assert said in shop.build(project).stderr


def test_a_traceback_of_a_backend_is_shown_only_when_asked_for(shop: Workshop) -> None:
    make_sdist(shop.index.directory, {"setup.py": "def f():\n    raise KeyError('why')\nf()\n"}, name="raising")
    project = shop.project({"requirements.txt": "dagster\ndagster-cloud\nraising\n"}, name="traceback")
    error = shop.build(project).failed()
    assert "KeyError: 'why'" in error
    assert "File " not in error
    assert "File " in shop.build(project, "--verbose").stderr
