"""The smallest build backend: it packs src/ as it is."""

import pathlib
import zipfile


def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "sales-1.0-py3-none-any.whl"
    source = pathlib.Path("src")
    with zipfile.ZipFile(pathlib.Path(directory, name), "w") as wheel:
        for path in sorted(source.rglob("*.py")):
            wheel.write(path, path.relative_to(source))
        info = "sales-1.0.dist-info"
        requires = "Requires-Dist: dagster\nRequires-Dist: dagster-cloud\n"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: sales\nVersion: 1.0\n{requires}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
