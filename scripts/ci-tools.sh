#!/usr/bin/env bash
# Install the programs that the tests run and that are not in Python packages: container tools, a registry, a
# browser, a compiler, and tools of GitHub's runners. From Debian's packages; quick if all are installed.
set -uo pipefail

# program:package
wanted=(
    buildah:buildah podman:podman runc:runc docker-registry:docker-registry mmdebstrap:mmdebstrap skopeo:skopeo umoci:umoci
    chromium:chromium chromedriver:chromium-driver jq:jq g++:build-essential
)
missing() {
    local each
    for each in "${wanted[@]}"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${each%%:*}" >/dev/null || echo "${each##*:}"
    done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
fail() {
    echo "error: the tests need programs that are not here, and $1: $(missing | paste -sd ' ')" >&2
    echo "hint: On Debian 12, as root: apt-get install --no-install-recommends $(missing | paste -sd ' ')" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail "only root could install them"
command -v apt-get >/dev/null || fail "there is no apt-get to install them with"
echo "== installing $(paste -sd ' ' <<<"$packages")"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Prevent Docker's registry from starting as a service, which would occupy a port.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    trap 'rm -f "$log" "$policy"' EXIT
fi
# shellcheck disable=SC2086  # one word for each package
if ! { apt-get update && apt-get install --yes --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install them"
fi
[ -z "$(missing)" ] || fail "they are not there although apt-get installed them"
