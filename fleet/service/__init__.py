"""Commands that run a fleet: up, down, play, check and demo."""
