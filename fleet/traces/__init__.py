"""Recording and replay of traces."""
