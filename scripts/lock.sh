#!/bin/sh
# Rewrites the two locks: versions and hashes only, nothing about where they came from.
#
#   scripts/lock.sh
#
# locks/dev.txt has the newest versions, for every supported Python and processor;
# locks/lowest.txt the floors that pyproject.toml declares.
set -eu

export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1

compile() {
    uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 \
        --generate-hashes --no-header --no-annotate --extra all --extra fleet --extra vmcore "$@"
}

command -v uv >/dev/null || {
    echo "lock: needs uv: pip install uv, in any virtual environment on your PATH" >&2
    exit 1
}
compile --group dev --output-file locks/dev.txt
compile --group test --resolution lowest-direct --output-file locks/lowest.txt
