"""Load test results for the terminal, CSV and HTML."""
