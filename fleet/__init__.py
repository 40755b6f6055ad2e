"""Fleets of devices: fleet file, hosting, service commands, traces, load tests, command line."""
