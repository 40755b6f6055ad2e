"""Generated reference pages and explanations of platform behaviour."""
