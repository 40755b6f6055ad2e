"""Data types of scenario files, scenarios and their outcomes."""
