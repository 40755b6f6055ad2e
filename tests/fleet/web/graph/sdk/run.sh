#!/bin/sh
# Starts a fleet, and runs the checks with the SDK in an environment of its own.
# Usage: run.sh BIN_OF_PASSFLEET FOLDER_OF_THE_ENVIRONMENT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd)
[ -x "$2/bin/pytest" ] || {
    python3 -m venv "$2"
    "$2/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
}
sdk=$(cd "$2" && pwd)
folder=$(mktemp -d)
trap 'cd "$folder" && "$bin/passfleet" down >/dev/null; rm -rf "$folder"' EXIT
cp "$here/fleet.toml" "$folder"
cd "$folder"
PASSFLEET_WEB=$("$bin/passfleet" up --detach --web | sed -n 's/^web=//p')
export PASSFLEET_WEB
"$sdk/bin/pytest" -q -p no:cacheprovider -c "$here/pytest.ini" "$here/check_msgraph_sdk.py"
