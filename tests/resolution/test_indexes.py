"""Package indexes configured by pip, uv and the project, against real indexes on loopback."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from pip._internal.models.index import PyPI

from builder.errors import BuilderError, FetchError, Notice, ResolutionError
from builder.project.metadata import Metadata
from builder.project.requirements import Requirements, read_requirements
from builder.resolution import resolution_cache, uv
from builder.resolution.indexes import read_indexes
from builder.resolution.lock import Lock
from builder.resolution.resolve import resolve
from builder.resolution.sdists import fetch_wheels
from builder.resolution.target import serverless_target
from builder.system import storage
from tests.support.commands import DAGSTER, make_sdist, workshop, write_tree
from tests.support.index import serving
from tests.support.pypi import USER, Pypi, PypiHost, pypi_host
from tests.support.wheels import make_wheel

SECRET = "s3cr3t"
TARGET = serverless_target("3.11")
BASIC = "dagster\ndagster-cloud\n"


@dataclass(slots=True)
class Place:
    """A project with its own cache, and two indexes: a public one, and one with a password."""

    root: Path
    public: Pypi
    private: Pypi
    monkeypatch: pytest.MonkeyPatch
    notices: tuple[Notice, ...] = ()

    def configure(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def pip_conf(self, text: str) -> None:
        path = self.root / "pip.conf"
        path.write_text(f"[global]\n{text}\n", encoding="utf-8")
        self.configure(PIP_CONFIG_FILE=str(path))

    def resolve(self, requirements: str = "", files: Mapping[str, str] | None = None) -> Lock:
        """Resolve a project with this requirements.txt."""
        directory = self.root / "project"
        write_tree(directory, {"requirements.txt": BASIC + requirements, **(files or {})})
        resolution = resolve(read_requirements(directory, TARGET.markers, no_backend), TARGET)
        self.notices = resolution.notices
        assert SECRET not in resolution.lock.text
        return resolution.lock

    def versions(self, requirements: str = "", files: Mapping[str, str] | None = None) -> dict[str, str]:
        """Resolve a project, fetch or build its wheels, and return their versions by name."""
        lock = self.resolve(requirements, files)
        fetched = fetch_wheels(lock)
        assert all(zipfile.is_zipfile(file.path) for file in fetched.values())
        return {found.name: found.version for found in lock.distributions if not found.name.startswith("dagster")}


def no_backend(directory: Path) -> Metadata:
    raise AssertionError(f"nobody has to build {directory}")


def put(index: Pypi | Path, name: str, version: str) -> None:
    directory = index if isinstance(index, Path) else index.directory
    make_wheel(directory, {f"{name}.py": f"version = {version!r}\n"}, name=name, version=version)


def put_dagster(index: Pypi) -> None:
    for name in ("dagster", "dagster-cloud"):
        put(index, name, DAGSTER)


@pytest.fixture(scope="module")
def host() -> Iterator[PypiHost]:
    with pypi_host() as made:
        yield made


@pytest.fixture
def place(host: PypiHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("BUILDER_UV", str(uv.executable()))
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    # uv's retries wait for seconds, and are not tested here.
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    public = host.serve(tmp_path / "public")
    put_dagster(public)
    private = host.serve(tmp_path / "private", password=SECRET)
    return Place(tmp_path, public, private, monkeypatch)


# One index


@pytest.mark.parametrize("how", ["environment", "pip.conf", "requirements.txt", "uv"])
def test_a_private_index_alone_is_enough(place: Place, how: str) -> None:
    put_dagster(place.private)
    put(place.private, "acme", "1.0")
    url = place.private.full_url
    if how == "environment":
        place.configure(PIP_INDEX_URL=url)
    elif how == "pip.conf":
        place.pip_conf(f"index-url = {url}")
    elif how == "uv":
        place.configure(UV_DEFAULT_INDEX=url)
    options = f"--index-url {url}\n" if how == "requirements.txt" else ""
    assert place.versions(f"{options}acme\n") == {"acme": "1.0"}


def test_credentials_are_found_in_netrc(place: Place) -> None:
    put_dagster(place.private)
    netrc = place.root / "my netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {SECRET}\n")
    place.configure(PIP_INDEX_URL=place.private.url, NETRC=str(netrc))
    assert place.versions() == {}


def test_credentials_are_asked_of_the_keyring_that_pip_is_told_to_use(place: Place) -> None:
    put_dagster(place.private)
    keyring = place.root / "bin" / "keyring"
    write_tree(keyring.parent, {"keyring": f'#!/bin/sh\n[ "$1 $3" = "get {USER}" ] && echo {SECRET}\n'})
    keyring.chmod(0o755)
    place.configure(
        PIP_INDEX_URL=place.private.url.replace("://", f"://{USER}@"),
        PIP_KEYRING_PROVIDER="subprocess",
        PATH=f"{keyring.parent}:/usr/bin:/bin",
    )
    assert place.versions() == {}


@pytest.mark.parametrize("how", ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "PIP_EXTRA_INDEX_URL"])
@pytest.mark.parametrize("password", ["wr0ng", ""])
def test_a_password_that_the_index_refuses_is_one_clear_error(place: Place, how: str, password: str) -> None:
    credentials = f"{USER}:{password}@" if password else ""
    place.configure(**{how: place.private.url.replace("://", f"://{credentials}")})
    with pytest.raises(FetchError) as caught:
        place.resolve()
    said = "403 Forbidden" if password else "401 Unauthorized"
    assert caught.value.what == (
        f"the package index {place.private.url} refuses its user name or password, or wants one ({said})"
    )
    assert "wr0ng" not in str(vars(caught.value))
    assert "UV_INDEX_NAME_PASSWORD" in str(caught.value.remedy)


def test_a_refused_password_is_not_told_by_a_command_however_verbose(host: PypiHost, tmp_path: Path) -> None:
    private = host.serve(tmp_path / "private", password=SECRET)
    (tmp_path / "work").mkdir()
    with workshop(tmp_path / "work") as shop:
        env = {"UV_DEFAULT_INDEX": "", "PIP_INDEX_URL": private.full_url.replace(SECRET, "wr0ng")}
        ran = shop.run("deps", shop.project(), shop.out, "--verbose", env=env)
    assert ran.code == 1
    assert ran.stderr.count("error: ") == 1
    assert f"{private.url} refuses its user name or password" in ran.stderr
    assert "wr0ng" not in ran.stdout + ran.stderr


def test_files_that_want_credentials_are_told_as_such(place: Place) -> None:
    text = 'lock-version = "1.0"\ncreated-by = "uv"\n'
    for name in ("dagster", "dagster-cloud"):
        file = f"{name.replace('-', '_')}-{DAGSTER}-py3-none-any.whl"
        url = f"{place.private.url.removesuffix('simple/')}packages/{file}"
        text += f'[[packages]]\nname = "{name}"\nversion = "{DAGSTER}"\n'
        text += f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
    lock = place.resolve(files={"pylock.toml": text})
    with pytest.raises(FetchError, match="could not be fetched") as caught:
        fetch_wheels(lock)
    assert "answered with HTTP 401 (it wants credentials)" in str(caught.value.detail)


# Several indexes


@pytest.mark.parametrize("how", ["environment", "pip.conf", "requirements.txt", "uv"])
def test_a_private_package_is_never_taken_from_where_everybody_can_publish(place: Place, how: str) -> None:
    put(place.private, "acme", "1.0")
    put(place.public, "acme", "99.0")
    public, private = place.public.url, place.private.full_url
    if how == "environment":
        place.configure(PIP_INDEX_URL=public, PIP_EXTRA_INDEX_URL=private)
    elif how == "pip.conf":
        place.pip_conf(f"index-url = {public}\nextra-index-url =\n    {private}")
    elif how == "uv":
        place.configure(UV_DEFAULT_INDEX=public, UV_INDEX=private)
    options = f"--index-url {public}\n--extra-index-url {private}\n" if how == "requirements.txt" else ""
    assert place.versions(f"{options}acme\n") == {"acme": "1.0"}
    assert not place.public.asked_for("acme")


def test_a_public_package_is_shadowed_by_a_private_one(place: Place) -> None:
    put(place.public, "lib", "2.0")
    put(place.private, "lib", "1.5")
    put(place.public, "other", "1.0")
    place.configure(PIP_INDEX_URL=place.public.url, PIP_EXTRA_INDEX_URL=place.private.full_url)
    assert place.versions("lib\nother\n") == {"lib": "1.5", "other": "1.0"}


@pytest.mark.parametrize("how", ["configured", "requirements.txt"])
def test_the_public_index_comes_last_although_it_is_the_extra_one(place: Place, how: str) -> None:
    ours = "https://index.example.invalid/simple"
    options = [f"--index-url {ours}", f"--extra-index-url {PyPI.simple_url}/"] if how != "configured" else []
    if not options:
        place.configure(PIP_INDEX_URL=ours, PIP_EXTRA_INDEX_URL=PyPI.simple_url)
    assert read_indexes(place.root, options).options == (f"--extra-index-url {ours}",)


def test_the_public_index_comes_last_although_requirements_txt_adds_it_to_one_of_uv(place: Place) -> None:
    place.configure(UV_DEFAULT_INDEX="ours=https://index.example.invalid/simple")
    found = read_indexes(place.root, [f"--extra-index-url {PyPI.simple_url}"])
    assert found.options == ()
    assert found.environment["UV_INDEX"] == "ours=https://index.example.invalid/simple"
    assert found.environment["UV_DEFAULT_INDEX"] == ""


def test_what_only_another_index_has_is_an_error_that_names_the_setting(place: Place) -> None:
    put(place.public, "lib", "2.0")
    put(place.private, "lib", "1.5")
    place.configure(PIP_INDEX_URL=place.public.url, PIP_EXTRA_INDEX_URL=place.private.full_url)
    with pytest.raises(ResolutionError) as caught:
        place.resolve("lib>=2\n")
    remedy = str(caught.value.remedy)
    assert f"`lib` is taken from {place.private.url} only" in remedy
    assert "UV_INDEX_STRATEGY=unsafe-best-match" in remedy
    assert SECRET not in str(vars(caught.value))
    place.configure(UV_INDEX_STRATEGY="unsafe-best-match")
    assert place.versions("lib>=2\n") == {"lib": "2.0"}


def test_what_uv_is_told_stands_above_what_pip_is_told(place: Place) -> None:
    put(place.public, "lib", "1.0")
    put(place.private, "lib", "2.0")
    place.configure(UV_DEFAULT_INDEX=place.public.url, PIP_EXTRA_INDEX_URL=place.private.full_url)
    assert place.versions("lib\n") == {"lib": "1.0"}
    assert place.private.requests == []


@pytest.mark.parametrize("configured", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX"])
def test_an_index_in_requirements_txt_stands_above_what_is_configured(place: Place, configured: str) -> None:
    put_dagster(place.private)
    place.configure(**{configured: place.public.url})
    assert place.versions(f"--index-url {place.private.full_url}\n") == {}
    assert place.public.requests == []


def test_an_extra_index_in_requirements_txt_is_added_to_what_is_configured(place: Place) -> None:
    put(place.private, "acme", "1.0")
    place.configure(PIP_INDEX_URL=place.public.url)
    assert place.versions(f"--extra-index-url {place.private.full_url}\nacme\n") == {"acme": "1.0"}


# Directories


@pytest.mark.parametrize("how", ["find-links", "extra index"])
def test_directories_of_this_machine_add_to_what_the_index_has(place: Place, how: str) -> None:
    directory = place.root / "räder und mehr"
    directory.mkdir()
    put(place.public, "lib", "2.0")
    put(directory, "lib", "1.5")
    put(directory, "acme", "1.0")
    put(place.public, "tool", "1.0")
    put(directory, "tool", "1.1")
    for where in (place.public, directory):
        put(where, "both", "1.0")
    for name in ("lib", "acme", "tool", "both"):
        links = "".join(f'<a href="../{wheel.name}">{wheel.name}</a>' for wheel in directory.glob(f"{name}-*.whl"))
        write_tree(directory / name, {"index.html": f"<!DOCTYPE html><html><body>{links}</body></html>"})
    place.configure(PIP_INDEX_URL=place.public.url)
    requirements = f"--find-links '{directory}'\nacme\nlib\ntool\n"
    if how == "extra index":
        place.configure(PIP_EXTRA_INDEX_URL=directory.as_uri())
        requirements = "acme\nlib\ntool\nboth\n"
    versions = place.versions(requirements)
    assert (versions["acme"], versions["lib"], versions["tool"]) == ("1.0", "2.0", "1.1")
    text = place.resolve(requirements).text
    assert 'path = "../räder und mehr/acme-1.0-py3-none-any.whl"' in text
    assert "räder und mehr/both" not in text
    assert str(place.root) not in text


def test_find_links_without_an_index(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.root)
    place.configure(PIP_FIND_LINKS="public", PIP_NO_INDEX="1")
    put(place.public, "acme", "1.0")
    assert place.versions("acme\n") == {"acme": "1.0"}
    assert place.public.requests == []


def test_a_resolution_is_used_again_only_while_nothing_but_the_public_index_and_this_machine_has_a_say(
    place: Place,
) -> None:
    requirements = Requirements(directory=place.root / "project")

    def remembered() -> Path | None:
        return resolution_cache.entry_path(requirements, TARGET, read_indexes(requirements.directory))

    place.monkeypatch.delenv("UV_HTTP_RETRIES")
    plain = remembered()
    assert plain
    place.configure(PIP_FIND_LINKS=str(place.public.directory))
    before = remembered()
    assert before == remembered() != plain
    put(place.public, "lib", "1.0")
    assert remembered() not in {None, plain, before}
    limits = place.root / "limits.txt"
    limits.write_text("lib<2\n")
    place.configure(PIP_CONSTRAINT=str(limits))
    limited = remembered()
    assert limited == remembered() != before
    limits.write_text("lib<2.1\n")
    assert remembered() not in {None, limited}
    for includes in ("-c more.txt\n", "lib @ https://index.example.invalid/lib-1.0-py3-none-any.whl\n"):
        limits.write_text(includes)
        assert remembered() is None
    limits.write_text("lib<2\n")
    place.configure(PIP_EXTRA_INDEX_URL="https://index.example.invalid/simple")
    assert remembered() is None


# Named indexes of a project


def project_of(dependencies: str, more: str) -> dict[str, str]:
    return {"pyproject.toml": f'[project]\nname = "app"\nversion = "1"\ndependencies = [{dependencies}]\n{more}'}


def index_table(url: str, more: str) -> str:
    return f'[[tool.uv.index]]\nname = "our-own"\nurl = "{url}"\n{more}\n'


def test_a_source_that_names_an_index_is_obeyed(place: Place) -> None:
    put(place.private, "acme", "1.0")
    put(place.public, "acme", "99.0")
    put(place.public, "lib", "2.0")
    put(place.private, "lib", "1.0")
    place.configure(
        PIP_INDEX_URL=place.public.url, UV_INDEX_OUR_OWN_USERNAME=USER, UV_INDEX_OUR_OWN_PASSWORD=SECRET
    )
    table = index_table(place.private.url, 'explicit = true\n[tool.uv.sources]\nacme = { index = "our-own" }')
    assert place.versions("lib\n", project_of('"acme"', table)) == {"acme": "1.0", "lib": "2.0"}
    assert not place.public.asked_for("acme")
    assert not place.private.asked_for("lib")


def test_a_requirement_that_its_index_cannot_satisfy_is_named(place: Place) -> None:
    put(place.private, "acme", "1.0")
    place.configure(UV_DEFAULT_INDEX=place.public.url)
    table = index_table(place.private.full_url, 'explicit = true\n[tool.uv.sources]\nacme = { index = "our-own" }')
    with pytest.raises(ResolutionError) as caught:
        place.resolve("", project_of('"acme>=2"', table))
    assert str(caught.value.where) == f"{place.root / 'project' / 'pyproject.toml'}:4"


BACKEND = """
import os, zipfile

def build_wheel(directory, settings=None, metadata=None):
    assert not [name for name, value in os.environ.items() if "s3cr3t" in value]
    with zipfile.ZipFile(os.path.join(directory, "built-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("built-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: built\\nVersion: 1.0\\n")
        wheel.writestr("built-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n")
        wheel.writestr("built-1.0.dist-info/RECORD", "")
    return "built-1.0-py3-none-any.whl"
"""


@pytest.mark.parametrize("how", ["environment", "pip.conf", "pyproject.toml", "requirements.txt"])
def test_what_builds_need_comes_from_the_same_indexes(place: Place, how: str) -> None:
    make_wheel(place.private.directory, {"ourbackend.py": BACKEND}, name="ourbackend", version="1.0")
    build_system = '[build-system]\nrequires = ["ourbackend"]\nbuild-backend = "ourbackend"\n'
    make_sdist(place.private.directory, {"pyproject.toml": build_system}, name="built")
    put(place.public, "ourbackend", "99.0")
    put_dagster(place.private)
    files, options = {}, ""
    if how == "environment":
        place.configure(PIP_INDEX_URL=place.public.url, PIP_EXTRA_INDEX_URL=place.private.full_url)
    elif how == "pip.conf":
        place.pip_conf(f"index-url = {place.public.url}\nextra-index-url = {place.private.full_url}")
    elif how == "pyproject.toml":
        files = project_of("", index_table(place.private.full_url, "default = true"))
    else:
        options = f"--index-url {place.private.full_url}\n"
    assert place.versions(f"{options}built\n", files) == {"built": "1.0"}
    assert not place.public.asked_for("ourbackend")


# The rest of pip's configuration


def test_constraints_and_binary_options_of_pip_hold(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.root)
    put(place.public, "lib", "1.0")
    put(place.public, "lib", "2.0")
    put(place.public, "other", "1.0")
    make_sdist(place.public.directory, {}, name="other", version="2.0")
    (place.root / "limits.txt").write_text("lib<2\n")
    place.configure(PIP_INDEX_URL=place.public.url, PIP_CONSTRAINT="limits.txt", PIP_ONLY_BINARY="other,nothing")
    assert place.versions("lib\nother\n") == {"lib": "1.0", "other": "1.0"}


def test_what_has_no_equivalent_is_named_once(place: Place) -> None:
    place.pip_conf(f"index-url = {place.public.url}\nprefer-binary = true\ntimeout = 60\n[install]\nno-deps = yes")
    place.resolve()
    assert place.notices == (
        Notice("pip's configuration sets `no-deps`, `prefer-binary`, which has no effect on what is built here"),
    )


def test_a_pip_conf_that_cannot_be_read_is_named_without_what_is_in_it(place: Place) -> None:
    path = place.root / "pip.conf"
    path.write_text(f"\nindex-url = https://{USER}:{SECRET}@example.invalid/simple\n")
    place.configure(PIP_CONFIG_FILE=str(path))
    with pytest.raises(BuilderError, match="pip's configuration cannot be read") as caught:
        place.resolve()
    assert str(caught.value.where) == f"{path}:2"
    assert SECRET not in str(vars(caught.value))


@pytest.fixture
def own_authority(place: Place) -> trustme.CA:
    """An untrusted certificate authority, with a certificate for the server in `server.pem`."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        place.monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(place.root / "server.pem"))
    return authority


@pytest.mark.parametrize("how", ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_TRUSTED_HOST"])
def test_an_index_with_a_certificate_of_ones_own(
    place: Place, host: PypiHost, own_authority: trustme.CA, how: str
) -> None:
    certificate = place.root / "ca.pem"
    own_authority.cert_pem.write_to_path(str(certificate))
    index = host.serve(place.public.directory, certificate=place.root / "server.pem")
    place.configure(PIP_INDEX_URL=index.url)
    with pytest.raises(FetchError):
        place.resolve()
    place.configure(**{how: f"127.0.0.1:{index.port}" if how == "PIP_TRUSTED_HOST" else str(certificate)})
    assert place.versions() == {}


def test_certificates_of_pip_and_of_the_system_add_up(
    place: Place, host: PypiHost, own_authority: trustme.CA
) -> None:
    for name, authority in (("one.pem", trustme.CA()), ("two.pem", own_authority)):
        authority.cert_pem.write_to_path(str(place.root / name))
    index = host.serve(place.public.directory, certificate=place.root / "server.pem")
    place.configure(PIP_INDEX_URL=index.url)
    place.configure(SSL_CERT_FILE=str(place.root / "one.pem"), PIP_CERT=str(place.root / "two.pem"))
    assert place.versions() == {}
    # Both lie in one file of the cache.
    (bundle,) = (storage.cache_directory() / "certificates").iterdir()
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-100])
    assert place.versions() == {}
    assert bundle.read_bytes() == whole


def test_pips_proxy_is_used_for_everything(place: Place) -> None:
    with serving(place.public.directory) as proxy:
        place.configure(PIP_INDEX_URL="http://packages.invalid/simple/", PIP_PROXY=f"127.0.0.1:{proxy.port}")
        assert place.versions() == {}
    assert sorted(proxy.pages()) == ["dagster", "dagster-cloud"]
    assert len(proxy.downloads()) == 2


@pytest.mark.parametrize(
    "url, warnings",
    [
        ("http://index.test/simple", 1),
        ("https://index.test/simple", 0),
        ("http://127.0.0.1:1/simple", 0),
    ],
)
def test_a_password_that_goes_unencrypted_to_another_machine_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, warnings: int
) -> None:
    """A pull request may change the URL of a private index."""
    (tmp_path / "pyproject.toml").write_text(f'[[tool.uv.index]]\nname = "priv"\nurl = "{url}"\n')
    assert not read_indexes(tmp_path).notices
    monkeypatch.setenv("UV_INDEX_PRIV_PASSWORD", "x")
    texts = [notice.text for notice in read_indexes(tmp_path).notices]
    assert len(texts) == warnings
    assert all(url in text for text in texts)
