from pathlib import Path

from dagster import definitions, load_from_defs_folder

# Where dg finds the project's root: in the working directory, where pyproject.toml is.
assert (Path(__file__).parents[2] / "pyproject.toml").is_file()
assert Path(__file__).parents[2].name == "root"


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
