from pathlib import Path

PACKAGE_ROOT = Path(__file__).parent.absolute()
REPO_ROOT = PACKAGE_ROOT.parent.parent
PROJECT = dict(
    project_dir=REPO_ROOT / "dbt",
    packaged_project_dir=PACKAGE_ROOT / "dbt-project",
)
