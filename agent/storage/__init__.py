"""State file of a fleet: its rows, checks, owner and digests."""
