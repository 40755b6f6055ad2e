"""The play: actors, engine and the library of scenarios."""
