#!/bin/sh
# Builds both distributions into a folder, checks them with twine, and runs what they install.
# Usage: deploy/check-dist.sh PYTHON FOLDER
set -eu
python=$1
target=$2
rm -rf "$target"
"$python" -m build --outdir "$target" .
"$python" -m build --outdir "$target" pytest-passfleet
"$python" -m twine check --strict "$target"/*

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m venv "$scratch/environment"
"$scratch/environment/bin/pip" install --quiet --disable-pip-version-check "$target"/*.whl
here=$(pwd)
cd "$scratch"
"$scratch/environment/bin/passfleet" --version
"$scratch/environment/bin/passfleet" demo >/dev/null
cat >test_installed.py <<'TEST'
def test_reset(passfleet_fleet):
    assert passfleet_fleet.reset("android-001")["newPasscode"]
TEST
"$scratch/environment/bin/python" -m pytest -q -p no:cacheprovider test_installed.py
cd "$here"
ls -l "$target"
