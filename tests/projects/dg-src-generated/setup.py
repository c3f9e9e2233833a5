from pathlib import Path

from setuptools import setup

Path("src/app/_version.py").write_text('VERSION = "made"\n')
setup(
    name="app",
    version="1.0",
    package_dir={"": "src"},
    packages=["app", "app.defs"],
    install_requires=["dagster", "dagster-cloud"],
)
