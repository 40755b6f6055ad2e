"""Fleet file (fleet.toml): reading, checking and the sample file."""
