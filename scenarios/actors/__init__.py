"""The actors of the play: one state machine each, without I/O."""
