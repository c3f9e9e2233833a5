"""Container programs that work in any sandbox with root: a base image, buildah's and podman's settings."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.oci.layout import INDEX, OCI, Layout, read_layout, writing
from builder.packages.images.pushing import RegistryNamespace, push_image
from builder.resolution.transport import Credentials
from builder.system import storage
from tests.support.container_registry import PASSWORD, USER, ContainerRegistry

SECONDS = 300

_PROGRAMS = ("buildah", "podman", "runc", "docker-registry", "mmdebstrap", "skopeo", "umoci")

# What python:3.11-slim has, as far as an image of a package can tell: Debian 12 has Python 3.11.
_INSTALL_PIP = """chroot "$1" env SOURCE_DATE_EPOCH=1700000000 python3 - <<'P'
import glob, runpy, sys
wheel = glob.glob("/usr/share/python-wheels/pip-*.whl")[0]
sys.path.insert(0, wheel)
sys.argv = ["pip", "install", "--no-index", "--no-compile", "--root-user-action=ignore", wheel]
runpy.run_module("pip", run_name="__main__")
P"""
_BASE = (
    "--mode=root",
    # Each image that is built, pushed or run unpacks it: nothing that no test needs, of which perl is half.
    "--variant=essential",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    "--include=usr-is-merged,passwd,python3,python3-venv,libstdc++6",
    "--dpkgopt=path-exclude=/usr/lib/*/gconv/*",
    "--dpkgopt=path-exclude=/usr/share/zoneinfo/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    '--customize-hook=rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED',
    '--customize-hook=ln -s /usr/bin/python3 "$1"/usr/local/bin/python',
    f"--customize-hook={_INSTALL_PIP}",
)
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def require_programs() -> None:
    """Fail, with what to do, where containers cannot be built and run."""
    missing = [name for name in _PROGRAMS if not shutil.which(name)]
    assert not missing, f"the tests of images need {', '.join(missing)}: run scripts/ci-tools.sh as root"
    assert os.geteuid() == 0, "the tests of images build and run containers, which takes root here"


@dataclass(frozen=True, slots=True)
class Containers:
    """Settings of container programs, and podman with a store of its own.

    :param environment: for every program that builds or runs containers.
    :param running: where podman notes what runs; its path has 50 characters at most.
    """

    directory: Path
    environment: dict[str, str]
    running: Path

    def podman(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run podman; what it says of an image goes to stdout, of itself to stderr."""
        command = ["podman", "--root", self.directory / "podman", "--runroot", self.running, *words]
        finished = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert not check or finished.returncode == 0, finished.stderr
        return finished

    def run(self, image: str, *words: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a container of an image: no network, nothing to write to, no privileges."""
        safe = ("--rm", "--quiet", "--network=none", "--read-only", "--cap-drop=all")
        return self.podman("run", *safe, *options, image, *words, check=False)


@contextmanager
def container_settings(directory: Path, registry: ContainerRegistry) -> Iterator[Containers]:
    """Settings, until the end of the block, under which `FROM python:3.11-slim` comes from a registry on loopback.

    They ask for nothing that a sandbox may lack: no systemd, no cgroups of version 2, no raised limits.
    """
    settings = directory / "containers.conf"
    settings.write_text(
        '[containers]\nnetns = "host"\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
        'log_driver = "k8s-file"\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
        'events_logger = "file"\n',
        encoding="utf-8",
    )
    registries = directory / "registries.conf"
    registries.write_text(
        f'[[registry]]\nprefix = "docker.io/library"\nlocation = "{registry.host}/library"\ninsecure = true\n'
        f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n',
        encoding="utf-8",
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TMPDIR": str(storage.make_directory(directory / "tmp")),
        "CONTAINERS_CONF": str(settings),
        "CONTAINERS_REGISTRIES_CONF": str(registries),
    }
    with tempfile.TemporaryDirectory(dir="/run") as running:
        yield Containers(directory, environment, Path(running))


def push_base(registry: ContainerRegistry, cache: Path) -> None:
    """Push what stands for python:3.11-slim to the registry: made once and kept in `cache`."""
    push_image(_base(cache), RegistryNamespace(registry.host, "library"), Credentials(USER, PASSWORD))


def _base(cache: Path) -> Layout:
    key = hashlib.sha256(repr(_BASE).encode()).hexdigest()[:16]
    path = cache / f"python-{key}"
    with storage.exclusive(cache / ".lock"):
        if not path.exists():
            _make_base(path)
    return read_layout(path)


def _make_base(path: Path) -> None:
    with storage.scratch_directory(path.parent) as scratch:
        tar = scratch / "base.tar"
        mirror = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"],
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout.splitlines()[0]
        subprocess.run(
            ["mmdebstrap", "--quiet", *_BASE, "bookworm", tar, mirror],
            env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
            check=True,
        )
        with tarfile.open(tar) as archive:
            assert "./usr/local/bin/python" in archive.getnames()
        layer = scratch / "layer.tar.gz"
        with tar.open("rb") as source, gzip.GzipFile(layer, "wb", compresslevel=1, mtime=0) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2023-11-14T22:13:20Z",
            "config": {"Env": [f"PATH={_PATH}", "LANG=C.UTF-8"], "Cmd": ["python3"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{storage.sha256_of(tar)}"]},
            # One entry for each layer, or buildah refuses the image.
            "history": [{"created": "2023-11-14T22:13:20Z", "created_by": "mmdebstrap"}],
        }
        with writing(path) as layout:
            manifest = {
                "schemaVersion": 2,
                "mediaType": OCI.manifest,
                "config": layout.add(json.dumps(config).encode(), OCI.config).document(),
                "layers": [layout.add_layer(layer, OCI.layer).document()],
            }
            platform = layout.add_document(manifest, platform="linux/amd64")
            index = layout.add_document(
                {"schemaVersion": 2, "mediaType": INDEX, "manifests": [platform.document()]}
            )
            layout.finish("python", index, ["3.11-slim"], [])
