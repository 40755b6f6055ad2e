#!/bin/sh
# Starts a broker and the back-end on free ports, plays the scenarios against it, and stops both.
# Arguments go to `passfleet play`.
set -eu
cd "$(dirname "$0")"
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
broker=$(free_port)
api=$(free_port)
export KEYRING="http://127.0.0.1:$api"
export KEYRING_BROKER="mqtt://127.0.0.1:$broker"
export KEYRING_API_KEY="${KEYRING_API_KEY:-$(python3 -c 'import secrets; print(secrets.token_hex(8))')}"
export KEYRING_DATABASE="${KEYRING_DATABASE:-:memory:}"

"${MOSQUITTO:-mosquitto}" -p "$broker" 2>mosquitto.log &
broker_process=$!
"${PYTHON:-python3}" -m uvicorn keyring:app --port "$api" --log-level warning &
api_process=$!
trap 'kill $api_process $broker_process 2>/dev/null || true' EXIT
tries=0
until python3 -c "import socket; socket.create_connection(('127.0.0.1', $api))" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || { echo "the back-end does not start" >&2; exit 3; }
    sleep 0.2
done
passfleet play scenarios --fleet fleet.toml --broker "$KEYRING_BROKER" \
    --junit junit.xml --html report.html "$@"
