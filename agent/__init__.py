"""One device: its state, the machine that changes it, its passcode policy, clock and runner."""
