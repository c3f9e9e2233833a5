"""The paths that code names, out of its syntax tree."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from builder.project.code_paths import named_paths

ROOT = Path("/repo/location")
FILE = ROOT / "app/assets/rates.py"
HERE = str(FILE.parent)
UP = "Path(__file__).parents[3]"
HEAD = """
import os
import os.path as osp
import importlib.resources
import inspect
import pathlib
from importlib import resources
from os.path import abspath, dirname, join
from pathlib import Path
import dagster as dg
from dagster import file_relative_path
"""


def named(code: str) -> list[str]:
    return [str(each.path) for each in named_paths(HEAD + code, FILE, ROOT)]


@pytest.mark.parametrize(
    "expression, path",
    [
        ('Path(__file__).resolve().parent.parent.parent.parent / "shared" / "a.csv"', "/repo/shared/a.csv"),
        ('Path(__file__).parents[3].joinpath("shared", "a.csv")', "/repo/shared/a.csv"),
        ('pathlib.Path(__file__).absolute().parents[3] / f"shared/{\'a\'}.csv"', "/repo/shared/a.csv"),
        ('dirname(dirname(dirname(dirname(abspath(__file__))))) + "/shared"', "/repo/shared"),
        ('os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")', f"{HERE}/../../../shared"),
        ('osp.abspath(osp.join(osp.dirname(__file__), "../../../shared"))', "/repo/shared"),
        ('os.path.realpath("../shared")', "/repo/shared"),
        ('Path.cwd().parent / "shared"', "/repo/shared"),
        ('os.getcwd() + "/../shared"', "/repo/location/../shared"),
        ('str(Path(__file__).parents[3] / "shared")', "/repo/shared"),
        ('os.fspath(Path(__file__).parents[3].joinpath("shared").with_name("other"))', "/repo/other"),
        ('dg.file_relative_path(__file__, "../../../shared")', f"{HERE}/../../../shared"),
        ('file_relative_path(__file__, "data.csv")', f"{HERE}/data.csv"),
        ('Path("..") / "shared"', "../shared"),
        ('"../shared/a b.csv"', "../shared/a b.csv"),
        ('join(unknown(), "..", "shared")', "../shared"),
        ('join(dirname(__file__), os.pardir, os.pardir, os.pardir, "shared")', f"{HERE}/../../../shared"),
        ('Path(os.pardir) / "shared"', "../shared"),
        ('os.path.split(os.path.split(os.path.split(dirname(__file__))[0])[0])[0] + "/shared"', "/repo/shared"),
        ('"{}/../../../{}".format(dirname(__file__), "shared")', f"{HERE}/../../../shared"),
        ('"%s/../../../shared" % dirname(__file__)', f"{HERE}/../../../shared"),
        ('Path(".").resolve().parent / "shared"', "/repo/shared"),
        ('Path().absolute().parent / "shared"', "/repo/shared"),
        ('Path(__file__).resolve(strict=True).parents[3] / "shared"', "/repo/shared"),
        ('dg.file_relative_path(__file__, relative_path="../../../shared")', f"{HERE}/../../../shared"),
        ('abspath(__file__).rsplit("/", 4)[0] + "/shared"', "/repo/shared"),
        ('__file__.rsplit(os.sep, maxsplit=4)[0] + "/shared"', "/repo/shared"),
        ('"/".join(__file__.split("/")[:-4]) + "/shared"', "/repo/shared"),
        ('Path(*Path(__file__).parts[:-4], "shared")', "/repo/shared"),
        ('os.sep.join([dirname(__file__), "..", "..", "..", "shared"])', f"{HERE}/../../../shared"),
        ('Path(__file__).joinpath(*("..", "..", "..", "..", "shared")).resolve()', "/repo/shared"),
        ('__file__.rpartition("/")[0] + "/../../../shared"', f"{HERE}/../../../shared"),
        ('abspath(join(dirname(__file__), os.path.pardir, "..", "..", "shared"))', "/repo/shared"),
        ('abspath(__file__ + "/../../../../shared")', "/repo/shared"),
        ('dirname(inspect.getfile(inspect.currentframe())) + "/../../../shared"', f"{HERE}/../../../shared"),
        ('Path(inspect.getsourcefile(inspect.currentframe())).parents[3] / "shared"', "/repo/shared"),
        ('resources.files("app") / "../../shared"', "/repo/location/app/../../shared"),
        ('importlib.resources.files(__package__).joinpath("../../../shared")', f"{HERE}/../../../shared"),
        ('resources.files("app.assets").parent.parent.parent / "shared"', "/repo/shared"),
        # Not certain, or no path of the project.
        ('"{:>99999999999}/../x".format(__file__)', None),
        ('"{0.parent}/../x".format(__file__)', None),
        ('"%s/%s" % (__file__, "../x y")', "../x y"),
        ('"%99999999999s" % __file__ + "/../x"', None),
        ('Path("/opt/app") / "shared"', None),
        ('Path(__file__).parents[9] / "shared"', None),
        ('Path(__file__).parents[depth] / "shared"', None),
        ('(Path(__file__) if debug else Path("x")).parents[3] / "shared"', None),
        ('Path(__file__).glob("*.csv")', None),
        ("Path(__file__, *parts)", None),
        ('os.sep.join([dirname(__file__), *ups, "shared"])', HERE),
        ('Path(__file__).parents[-1] / "shared"', None),
        ('Path(__file__).parents[-2] / "shared"', None),
        ('inspect.getfile(other) + "/../../../../shared"', None),
        ('resources.files("other") / "../../shared"', "../../shared"),
        ('resources.files("repo").parent / "shared"', None),
        ('join(*parts, dirname(dirname(dirname(__file__)))) + "/../shared"', "/repo/location"),
        ("Path(1) / __file__", None),
        ('__file__ / "x"', None),
        ('"a" * 3 + "../"', None),
        ('f"{__file__!r:>{width}}"', None),
    ],
)  # fmt: skip
def test_an_expression_is_folded_as_far_as_it_is_certain(
    expression: str, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"X = {expression}\n"
    found = named(code)
    assert [each for each in found if each != str(FILE)] == ([path] if path else [])
    if not path or not path.startswith("/") or "inspect" in expression:
        return
    monkeypatch.setattr(os, "getcwd", lambda: str(ROOT))
    names: dict[str, object] = {"__file__": str(FILE), "__package__": "app.assets"}
    # What asks for modules or files of the project has no answer here.
    with contextlib.suppress(NameError, ImportError, OSError):
        exec(HEAD + code, names)  # noqa: S102  (Python's own answer)
        assert os.path.normpath(str(names["X"])) == os.path.normpath(path)


def test_names_that_are_bound_once_are_followed() -> None:
    code = (
        "def load():\n    return open(DATA / NAME)\nNAME: str = 'a.csv'\n"
        "DATA = HERE.parents[2] / 'shared'\nHERE = Path(__file__).parent\n"
    )
    assert named(code) == ["/repo/shared/a.csv", "/repo/shared", HERE]


@pytest.mark.parametrize(
    "again",
    [
        "ROOT = Path('/x')",
        "ROOT += 1",
        "for ROOT in (): pass",
        "with a as ROOT: pass",
        "del ROOT",
        "if (ROOT := 1): pass",
        "(ROOT, x) = 1, 2",
        "from .settings import ROOT",
        "import ROOT",
        "def ROOT(): pass",
        "try: pass\nexcept OSError as ROOT: pass",
        "match a:\n    case [ROOT]: pass",
        "def f():\n    global ROOT\n    ROOT = a",
        "if debug:\n    ROOT = ROOT.parent",
    ],
)
def test_a_name_that_is_bound_in_another_way_too_is_not(again: str) -> None:
    assert named(f"ROOT = Path(__file__).parents[3]\n{again}\nX = ROOT / 'shared'\n") == ["/repo"]


@pytest.mark.parametrize(
    "body, path",
    [
        (f"    ROOT = {UP}\n    def f(self): return self.ROOT / 'shared'\n", "/repo/shared"),
        (
            f"    def __init__(self): self.ROOT = {UP}\n    def f(self): return self.ROOT / 'shared'\n",
            "/repo/shared",
        ),
        (f"    ROOT = {UP}\n    def f(self): return self.ROOT / 'shared'\na.ROOT = Path('/opt')\n", None),
        (f"    ROOT = {UP}\n    def f(self, other): return other.ROOT / 'shared'\n", None),
    ],
)
def test_attributes_of_an_object_are_followed_in_its_class(body: str, path: str | None) -> None:
    assert [each for each in named(f"class A:\n{body}") if each not in {str(FILE), "/repo"}] == (
        [path] if path else []
    )


@pytest.mark.parametrize(
    "code, path",
    [
        ("ROOT = Path(__file__)\nROOT = ROOT.parents[3]\nX = ROOT / 'shared'", "/repo/shared"),
        ("ROOT = Path(__file__)\nROOT = ROOT.parents[3]\ndef f(): return ROOT / 'shared'", "/repo/shared"),
        ("def f():\n    at = Path(__file__)\n    at = at.parents[3]\n    return at / 'shared'", "/repo/shared"),
        (f"def f():\n    at = {UP}\n    return at / 'shared'\ndef g(at): return at / 'x'", "/repo/shared"),
        ("class A: pass\nX = dirname(inspect.getfile(A)) + '/../../../shared'", f"{HERE}/../../../shared"),
        (f"def f(root=Path({UP})): return root / 'shared'", "/repo/shared"),
        (f"def f(*, root={UP}): return root / 'shared'\nf()", "/repo/shared"),
        # A function may be called before the last binding, and a default may not be what is used.
        ("ROOT = Path('/x')\ndef f(): return ROOT / 'shared'\nROOT = Path(__file__).parents[3]", None),
        (f"def f(root={UP}): return root / 'shared'\nf('/opt')", None),
        (f"f = lambda root={UP}: root / 'shared'", None),
        (f"def f(root={UP}): return root / 'shared'\nf(root='/opt')", None),
        (f"def f(root={UP}):\n    root = root or x\n    return root / 'shared'", None),
        (f"class A:\n    def __init__(self, root={UP}): self.x = root / 'shared'", None),
        ("@other\nclass A: pass\nX = dirname(inspect.getfile(A)) + '/../../../shared'", None),
        # Not what the names of the imports are elsewhere.
        ("def f(join): return join(__file__, '../../../../shared')", "../../../../shared"),
        ("from ours import Path\nX = Path(__file__).parents[3] / 'shared'", None),
        ("__file__ = a\nX = dirname(dirname(__file__)) + '/../shared'", None),
        ("os.chdir(a)\nX = os.path.realpath('../shared')", "../shared"),
        # Only as a script.
        ("if __name__ == '__main__':\n    main(Path(__file__).parents[3] / 'shared')\nelse:\n    pass", None),
    ],
)  # fmt: skip
def test_a_name_is_followed_where_it_is_certain(code: str, path: str | None) -> None:
    known = {str(FILE), HERE, "/repo", "/repo/location", str(FILE.parents[1])}
    assert [each for each in named(code) if each not in known] == ([path] if path else [])


def test_a_name_that_refers_to_itself_is_unknown() -> None:
    assert named("A = B / 'x'\nB = A / 'y'\nC = Path(__file__).parents[0] / A\nD = D\n") == [HERE]


def test_code_that_doubles_texts_again_and_again_is_not_followed() -> None:
    lines = ["X0 = __file__", *(f"X{number} = X{number - 1} + X{number - 1}" for number in range(1, 60))]
    assert len(named("\n".join(lines))) < 60
    nested = "Path(__file__)" + ".parent" * 3000
    assert named(f"X = {nested}") == []


@pytest.mark.parametrize("code", ["X = (__file__", "type X = '../shared'\nprint '../x'", "\0'../x'"])
def test_code_that_does_not_parse_names_nothing(code: str) -> None:
    assert list(named_paths(code, FILE, ROOT)) == []


def test_line_and_words_are_those_of_the_code() -> None:
    code = "from pathlib import Path\n\nX = open(\n    Path(__file__).parents[3]\n    / 'shared'\n)\n"
    (found,) = named_paths(code, FILE, ROOT)
    assert (found.line, found.text) == (4, "Path(__file__).parents[3] / 'shared'")


def test_escapes_that_python_warns_of_are_no_affair_of_ours() -> None:
    assert [str(each.path) for each in named_paths("X = '\\d'\nY = '../x'\n", FILE, ROOT)] == ["../x"]
