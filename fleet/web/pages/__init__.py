"""Browser pages: the device wall, Company Portal, administrator's console and work account."""
