"""Brokers that passfleet starts and stops itself."""
