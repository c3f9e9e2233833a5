#!/usr/bin/env bash
# Prepare a GitHub Actions runner to build images for other architectures than its own:
#   scripts/ci-images.sh linux/amd64,linux/arm64
set -euo pipefail
case $(uname -m) in
    x86_64) own=linux/amd64 ;;
    aarch64) own=linux/arm64 ;;
    *) own=none ;;
esac
if [ "$1" != "$own" ]; then
    # Ubuntu's package registers QEMU with the kernel, for containers too.
    sudo apt-get update --quiet --quiet
    sudo apt-get install --quiet --quiet --yes --no-install-recommends qemu-user-static binfmt-support
fi
if docker info >/dev/null 2>&1; then
    # The daemon's own builder cannot export images, this one can. It runs with privileges: named by its digest.
    buildkit=moby/buildkit:v0.29.0@sha256:0039c1d47e8748b5afea56f4e85f14febaf34452bd99d9552d2daa82262b5cc5
    docker buildx create --use --driver docker-container --driver-opt "image=$buildkit" --bootstrap
else
    echo "There is no Docker daemon here: buildah will build"
fi
