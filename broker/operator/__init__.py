"""Operator side of the contract: sending commands and collecting results."""
