"""Load test: commands at a fixed rate, a ledger of their outcomes, thresholds and reports."""
