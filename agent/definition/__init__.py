"""Device settings and user-defined platforms, as files give them."""
