"""Processes that host devices."""
