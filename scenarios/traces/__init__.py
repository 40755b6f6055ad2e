"""Trace files: recorded MQTT traffic without secrets."""
