"""The wire: topics and payloads, connections, and the brokers passfleet starts itself."""
