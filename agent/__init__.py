"""One device: state, state machine, passcode policy, clock and runner."""
