#!/bin/sh
# Starts a fleet, runs Tavern against it, stops it. Tavern's MQTT wants an older paho-mqtt than
# passfleet: give it an environment of its own (requirements.txt) and name its Python in
# TAVERN_PYTHON. `passfleet` is the one on PATH.
set -eu
cd "$(dirname "$0")"
ready=$(passfleet up fleet.toml --detach --for 5m)
trap 'passfleet down' EXIT
PASSFLEET_HOST=127.0.0.1
PASSFLEET_PORT=${ready##*:}
export PASSFLEET_HOST PASSFLEET_PORT
"${TAVERN_PYTHON:-python3}" -m pytest "$@" reset.tavern.yaml
