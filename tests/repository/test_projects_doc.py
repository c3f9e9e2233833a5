"""The table of what is read: as new as the projects it is made of, and as true as their tests."""

from __future__ import annotations

import projects_doc

from tests.support.projects import PROJECTS, load_traits


def test_the_table_is_up_to_date() -> None:
    words = "docs/projects.md is out of date: run scripts/projects_doc.py"
    assert projects_doc.DOCUMENT.read_text(encoding="utf-8") == projects_doc.document(), words


def test_the_table_says_of_each_project_whether_it_is_refused() -> None:
    for trait in load_traits():
        _read, _order, refused = projects_doc.columns((PROJECTS / trait.name / "trait.txt").read_text())
        assert bool(refused) is bool(trait.refused), trait.name


def test_every_project_says_what_it_is_for() -> None:
    assert {path.name for path in PROJECTS.iterdir()} == {
        path.parent.name for path in PROJECTS.glob("*/trait.txt")
    }
