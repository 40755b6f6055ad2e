"""Many devices: the fleet file, the host that runs them, and the command line."""
