#!/bin/sh
# Makes a virtual environment with exactly what a lock names, and this tree in it (editable).
#
#   scripts/setup.sh VENV LOCK [NEWEST]
#
# VENV is replaced. NEWEST is the newest minor of Python 3 that the lock's versions run on.
# uv is used where it is present, python3 -m venv with pip otherwise. As root on Debian or
# Ubuntu a missing system package is installed; elsewhere it is named with the command.
set -eu

venv=$1 lock=$2 newest=${3:-99}
oldest=11
# Behind a proxy that signs with its own certificate the system's store is the one that knows it.
export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1

say() { printf 'setup: %s\n' "$*" >&2; }

# fits PYTHON: it runs, and is of a version that we support.
fits() {
    "$1" -c "import sys; sys.exit(not (3, $oldest) <= sys.version_info[:2] <= (3, $newest))" \
        2>/dev/null
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && fits "$name"; then
            command -v "$name"
            return
        fi
    done
    return 1
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends \
        "$@" >&2 </dev/null
}

# apt PACKAGE...: installs where we may; otherwise says what to run, and stops.
apt() {
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "installing $*"
        apt_get install "$@" || { apt_get update && apt_get install "$@"; }
    else
        say "missing: $*. On Debian or Ubuntu: sudo apt-get install $*"
        exit 1
    fi
}

# The stock python3 of Debian 12 and of Ubuntu 24.04 is new enough; Ubuntu 22.04 has 3.11 beside it.
get_python() {
    if [ -r /etc/os-release ] && grep -q '^VERSION_ID="22.04"' /etc/os-release; then
        apt python3.11 python3.11-venv
    else
        apt python3 python3-venv
    fi
    find_python || {
        say "needs Python 3.$oldest or newer$([ "$newest" = 99 ] || echo ", up to 3.$newest")"
        exit 1
    }
}

with_uv() {
    uv venv --quiet --clear --no-project --python "${1:->=3.$oldest,<3.$((newest + 1))}" "$venv" &&
        uv pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock" &&
        uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
}

# venv's own package is a separate one on Debian, named after the interpreter.
with_pip() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null ||
        apt "$("$1" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')"
    rm -rf "$venv"
    "$1" -m venv "$venv"
    set -- "$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input install
    "$@" --require-hashes -r "$lock"
    "$@" --no-deps --no-build-isolation -e .
}

python=$(find_python) || python=
if command -v uv >/dev/null; then
    say "making $venv with uv from $lock"
    with_uv "$python" && exit
    say "uv failed (above): trying pip"
fi
[ -n "$python" ] || python=$(get_python)
say "making $venv with $python and pip from $lock: some 20 seconds"
with_pip "$python"
