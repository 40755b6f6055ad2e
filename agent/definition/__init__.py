"""Device settings and user-defined platforms in fleet files, scenarios and traces."""
