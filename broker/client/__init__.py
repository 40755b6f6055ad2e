"""MQTT connections of devices."""
