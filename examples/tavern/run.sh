#!/bin/sh
# Starts a fleet, runs Tavern on it, and stops it. Tavern needs an older paho-mqtt than passfleet:
# install it in a separate environment (requirements.txt) and set TAVERN_PYTHON to its Python.
# `passfleet` must be on PATH.
set -eu
cd "$(dirname "$0")"
ready=$(passfleet up fleet.toml --detach --for 5m)
trap 'passfleet down' EXIT
PASSFLEET_HOST=127.0.0.1
PASSFLEET_PORT=${ready##*:}
export PASSFLEET_HOST PASSFLEET_PORT
"${TAVERN_PYTHON:-python3}" -m pytest "$@" reset.tavern.yaml
