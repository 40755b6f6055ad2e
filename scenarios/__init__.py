"""Scenario files: model, parser, actors, execution, reports, traces and the library."""
