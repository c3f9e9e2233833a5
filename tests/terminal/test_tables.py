"""Tables, on a terminal and elsewhere."""

from __future__ import annotations

from tests.support.tiny_commands import Commands, screen

TABLE = """
    rows = [["sales", "deps-" + "1" * 40, "69.0 MB", "71 distributions"], ["", "source", "951 kB", "7 files"]]
    rows += [["costs", "deps", "1 MB", "2 distributions"]]
    console.table(["location", "file", ">size", "what is in it"], rows)
"""


def test_a_table_is_not_wrapped_where_there_is_no_terminal(commands: Commands) -> None:
    assert commands.run(TABLE, env={"COLUMNS": "20"}).succeeded().stdout.splitlines() == [
        "location  file                                              size  what is in it",
        f"sales     deps-{'1' * 40}  69.0 MB  71 distributions",
        "          source                                          951 kB  7 files",
        "costs     deps                                              1 MB  2 distributions",
    ]


def test_a_table_that_is_too_wide_for_a_terminal_has_a_line_for_each_cell(commands: Commands) -> None:
    seen = commands.on_terminal(TABLE)
    assert seen.count("\r\n\r\n") == 1
    assert screen(seen) == [
        "location       sales",
        f"file           deps-{'1' * 40}",
        "size           69.0 MB",
        "what is in it  71 distributions",
        "file           source",
        "size           951 kB",
        "what is in it  7 files",
        "location       costs",
        "file           deps",
        "size           1 MB",
        "what is in it  2 distributions",
    ]
    narrow = TABLE.replace("40", "30")
    assert screen(commands.on_terminal(narrow))[1] == f"sales     deps-{'1' * 30}  69.0 MB  71 distributions"
