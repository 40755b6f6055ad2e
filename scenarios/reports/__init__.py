"""Reports of a play: JUnit XML for continuous integration, and one HTML page for people."""
