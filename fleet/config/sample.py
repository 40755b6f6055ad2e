"""Sample fleet file: written by `passfleet init`, and the default fleet without a file."""

from __future__ import annotations

from typing import Final

from fleet.config.loader import FleetConfig, parse_fleet

__all__ = ["SAMPLE", "default_config"]

SAMPLE: Final = """\
# A fleet of virtual phones. Run it:      passfleet up
# Check this file without running it:     passfleet check

[fleet]
seed = 7                  # the same seed, the same run: passcodes, reaction times, outages
clock = "real"            # "virtual": moves only on request (passfleet clock advance 61m);
                          # "60x": an hour takes a minute; `speed = 60` is the same
workers = 1               # processes; "auto": one per core
# state = "fleet.db"      # devices survive a restart (SQLite, beside this file)
# durability = "power"    # the state survives a loss of power too; default: a kill -9 only
# root = "passfleet/v1"   # prefix of every topic
# conformance = "hybrid-2017-10"    # one of Microsoft's dated tables; default:
                          # intune-2015-12. `passfleet platforms --diff A B` compares two

[broker]
url = "embedded"          # part of passfleet, nothing to install. Others:
                          # "mosquitto": the one on your PATH, started and stopped for you;
                          # "mqtt://host:1883", "mqtts://host:8883", "ws://host:80/mqtt" or
                          # "wss://host:443/mqtt": one that you run. The embedded one also has
                          # listen = "0.0.0.0:1883", which needs a login, and deny_subscribe
# username = "fleet"
# password = { env = "PF_PW" }      # or { file = "pw" }; never the password itself
# ca = "ca.pem"                     # CA of the broker's certificate
# cert = "fleet.pem"                # with key: mutual TLS
# key = "fleet.key"

# The platforms, and what a passcode reset does on each. `passfleet explain ios resetPasscode`
# prints more, with the source.
#   ios                 removes the passcode; the user has 60 minutes to set a new one
#   android             sets a temporary passcode of letters and digits
#   windows_phone_8     sets a temporary passcode of digits; under hybrid management only the
#   windows_phone_8_1     administrator sees it
#   windows_10_mobile   sets a temporary passcode of letters and digits
#   windows_rt          does not support it; the remote lock only works for the user who
#   windows_rt_8_1        enrolled the device
#   windows_8_1

[platforms]                         # your own: extend one of these and change any field
# kiosk = { extends = "android", reset = { default_length = 8 }, lock = { supported = false } }

[[group]]
name = "phones"                     # group name for commands; "all" is every device
platform = "ios"
count = 25
id = "ios-{n:03}"                   # n counts from 1; without id: <name>-{n:03}
passcode = "2580"                   # "" for none; default: one that satisfies the policy
policy = { minLength = 4, maxFailedAttempts = 10 }
# The policy's other settings: requireAlphanumeric, minComplexCharacters, allowSimple, history,
# maxInactivityMinutes, maxAgeDays, forcePin, maxGracePeriodMinutes.
# management = "standalone"         # Intune; "hybrid": with Configuration Manager;
                                    # "exchange_activesync"
# owner = "user{n}"                 # who enrolled the device and uses it first
# biometrics = ["touchId"]          # touchId on ios, face on windows_10_mobile; [] for none
# reaction = "200ms..2s"            # how long a device takes to answer; or "2s"; default: none
# push_delay = "2s..5m"             # time until a push arrives; a push takes up all that waits
# push_loss = 0.1                   # share of pushes that are lost
# check_in = "8h"                   # time between two check-ins, which take up all that waits
# offline = 0.1                     # share of time without network
# dialect = "aws-iot-jobs"         # topics and payloads of a back-end (passfleet dialects)
# connection = "shared"             # many devices behind one MQTT connection; no Last Will for each
# os_version = "11.2"               # device attributes that behaviour may depend on;
# supervised = true                 # default: those of the platform

[[group]]
name = "androids"
platform = "android"
count = 25
id = "android-{n:03}"
# api_level = 24                    # Android 7
# managed_by = "deviceAdmin"        # or "deviceOwner", "androidManagementApi"
# target_sdk = 23                   # of the managing app
# username = "{id}"                 # a login for each device: client_id, username, password,
                                    # cert and key, with {id} and {n}

[[group]]
name = "wp81"
platform = "windows_phone_8_1"
count = 5

[[group]]
name = "wp81-hybrid"
platform = "windows_phone_8_1"
management = "hybrid"
count = 5

[[group]]
name = "w10m"
platform = "windows_10_mobile"
count = 5
# azure_ad_joined = true
# pin_recovery = true               # resets with LockAndRecoverPIN, from version 10.0.15063 on

[[group]]
name = "tablets"
platform = "windows_rt"
count = 5
"""
"""Fleet file of 70 devices with every option; unused options are comments."""


def default_config() -> FleetConfig:
    """The sample as a fleet, for `passfleet up --devices N` without a fleet file.

    Its `path` is None: relative paths start in the current folder.
    """
    return parse_fleet(SAMPLE)
