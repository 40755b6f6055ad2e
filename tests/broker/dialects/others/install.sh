#!/bin/sh
# Creates the environment of the programs in requirements.txt.
# Usage: install.sh FOLDER_OF_THE_ENVIRONMENT
# A package that cannot be had does not fail it: its tests are skipped and name the package.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cmp -s "$here/requirements.txt" "$1/made-for.txt" && exit 0
python3 -m venv "$1"
if "$1/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"; then
    cp "$here/requirements.txt" "$1/made-for.txt"
else
    grep -v '^#' "$here/requirements.txt" | while read -r package; do
        "$1/bin/pip" install --quiet --disable-pip-version-check "$package" ||
            echo "missing package: $package" >&2
    done
fi
