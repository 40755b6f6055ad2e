"""Execution of scenarios on a broker."""
