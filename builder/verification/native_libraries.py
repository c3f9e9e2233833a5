"""Native libraries that the server's image lacks, and the distributions or packages that provide them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MISSING: Final = re.compile(r"(?P<library>lib[\w+.-]+\.so[\w.]*): cannot open shared object file")


class Source(NamedTuple):
    """Where a library comes from.

    :param wheels: the distribution whose wheels include it; empty if there is none.
    :param debian: the Debian package that contains it.
    """

    wheels: str
    debian: str


# Keys are library names without `lib` and version. `{version}` is the number after `.so.`.
_SOURCES: Final[dict[str, Source]] = {
    "GL": Source("`opencv-python-headless` instead of `opencv-python`", "libgl1"),
    "glib-2": Source("`opencv-python-headless` instead of `opencv-python`", "libglib2.0-0"),
    "gdal": Source("`rasterio`, `fiona` or `pyogrio`, whose wheels have it in them", "libgdal{version}"),
    "geos_c": Source("`shapely` 2 or later, whose wheels have it in them", "libgeos-c1v5"),
    "gomp": Source("", "libgomp1"),
    "pq": Source("`psycopg2-binary` instead of `psycopg2`, or `psycopg[binary]`", "libpq5"),
    "mysqlclient": Source("`PyMySQL` instead of `mysqlclient`", ""),
    "mariadb": Source("`PyMySQL` instead of `mysqlclient`", "libmariadb3"),
    "odbc": Source("`pymssql` instead of `pyodbc` for SQL Server", "unixodbc"),
    "clntsh": Source("`oracledb`, which in its thin mode needs no Oracle client, instead of `cx_Oracle`", ""),
    "magic": Source("`filetype` instead of `python-magic`", "libmagic1"),
    "sndfile": Source("`soundfile` 0.11 or later, whose wheels have it in them", "libsndfile1"),
    "cairo": Source("", "libcairo2"),
    "pango-1": Source("", "libpango-1.0-0"),
    "aio": Source("", "libaio1"),
    "zbar": Source("", "libzbar0"),
}


def missing_library(message: str) -> str | None:
    """The library that an ImportError or OSError says could not be opened."""
    match = _MISSING.search(message)
    return match["library"] if match else None


def how_to_get(library: str) -> str:
    """The hint for a missing library, as an imperative."""
    stem, _, version = library.removeprefix("lib").partition(".so")
    stem = stem.partition(".")[0]
    source = _SOURCES.get(stem, Source("", ""))
    package = source.debian.format(version=version.lstrip("."))
    if source.wheels and package:
        return f"Depend on {source.wheels}; or run the location on a base image that has Debian's `{package}`"
    if source.wheels:
        return f"Depend on {source.wheels}"
    if package:
        return f"Run the location on a base image that has Debian's `{package}`"
    return "Depend on a distribution whose wheel has it inside, or run the location on a base image that has it"
