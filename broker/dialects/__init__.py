"""Dialects: topics and payloads of other back-ends, as data that is translated both ways."""
