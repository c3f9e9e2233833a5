"""Mistakes in dagster_cloud.yaml, in other declarations and on the command line, and what to type next."""

from __future__ import annotations

import pytest

from tests.support.commands import Workshop
from tests.support.mistakes import Mistake, check

_LOCATION = "locations:\n  - location_name: shop\n    code_source:\n      "
_FINE = f"{_LOCATION}module_name: answer\n"
_YAML = "dagster_cloud.yaml"


def workspace(text: str, line: int | None, what: str, remedy: str) -> Mistake:
    return Mistake({_YAML: text}, f"{_YAML}:{line}" if line else _YAML, what, remedy)


def project(name: str, text: str, line: int, what: str, remedy: str, *options: str) -> Mistake:
    return Mistake({_YAML: _FINE, name: text}, f"{name}:{line}", what, remedy, options)


MISTAKES = {
    "indentation": workspace(
        "locations:\n  - location_name: shop\n   code_source:\n      module_name: x\n",
        *(3, "not valid YAML", "Indent `code_source:` as far as the lines that it belongs to"),
    ),
    "tab": workspace(
        "locations:\n\t- location_name: shop\n", 2, "not valid YAML", "with spaces; YAML takes no tabs"
    ),
    "type of YAML alone": workspace(
        f"{_FINE}    attribute: !!binary ZGVmcw==\n",
        5,
        "not valid YAML",
        "Write the value without `!!binary`",
    ),
    "misspelt key": workspace(f"{_LOCATION}modul_name: answer\n", 4, "`modul_name` is not a key", "`module_name`"),
    "misspelt first key": workspace(
        "location:\n  - location_name: x\n", 1, "`location` is not a key", "`locations`"
    ),
    "key in the wrong place": workspace(
        f"{_FINE}      attribute: defs\n",
        5,
        "`attribute` is not a key",
        "Move it: it belongs into an entry of `loc",
    ),
    "location without a list": workspace(
        "location_name: shop\n",
        1,
        "`location_name` is not a key",
        "Write `locations:` above it, and `- location_name: shop` below that",
    ),
    "two of one name": workspace(
        f"{_FINE}  - location_name: shop\n    code_source:\n      module_name: answer\n",
        *(
            5,
            "two locations are called `shop`; the other one is at line 2",
            "Give each location a name of its own",
        ),
    ),
    "build directory": workspace(
        f"{_FINE}    build:\n      directory: ./nope\n", 6, "does not exist", "Correct `build.directory: ./nope`"
    ),
    "empty": workspace("", None, "the workspace file is empty", "Write at least:"),
    "python file": workspace(
        f"{_LOCATION}python_file: no.py\n", 4, "does not exist", "Correct `python_file: no.py`"
    ),
    "python file without its suffix": workspace(
        f"{_LOCATION}python_file: answer\n", 4, "does not exist", "Write `python_file: answer.py`"
    ),
    "two sources": workspace(
        f"{_LOCATION}module_name: a\n      python_file: b.py\n",
        3,
        "exactly one code source",
        "Keep one of `module_name`, `python_file`, and remove the others",
    ),
    "TOML": project(
        "pyproject.toml",
        '[project]\ndependencies = [\n "a"\n "b",\n]\n',
        3,
        "not valid TOML",
        'comma at the end of that line: `"a",`',
    ),
    "TOML, not closed": project(
        "pyproject.toml",
        '[project]\ndependencies = [\n "a",\n[tool.x]\ny = 1\n',
        *(4, "not valid TOML", "Close the array above that line with `]`"),
    ),
    "Python of the project": project(
        "pyproject.toml",
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.12"\ndependencies = ["dagster"]\n',
        *(4, "does not allow Python 3.11", "--python-version 3.12, or", "--python-version", "3.11"),
    ),
    "setting": project(
        "pyproject.toml",
        '[tool.builder]\ninclud = ["x"]\n',
        2,
        "`tool.builder.includ` is not a setting",
        "`include`",
    ),
    "nothing required": Mistake(
        {_YAML: _FINE, "requirements.txt": "\n"},
        *(
            "requirements.txt",
            "are not among what the project requires",
            "a line `dagster` and a line `dagster-cloud`",
        ),
    ),
    "Python": Mistake(
        {_YAML: _FINE},
        "",
        "`3.8` is not a Python version",
        "such as --python-version 3.11",
        ("--python-version", "3.8"),
    ),
    "location": Mistake(
        {_YAML: _FINE},
        "",
        "there is no location `shpo`",
        "Choose from: shop; give each",
        ("--location", "shpo"),
    ),
    "no organization": Mistake(
        {_YAML: _FINE}, "", "nor DAGSTER_CLOUD_ORGANIZATION", "https://", ("--upload-pex",)
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_to_type_next(place: Workshop, name: str) -> None:
    mistake = MISTAKES[name]
    path = place.project(mistake.files) / _YAML
    check(mistake, place.run("deploy", path, place.out, *mistake.options), "project")
