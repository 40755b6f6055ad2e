"""Microsoft Graph API over the virtual fleet: managedDevices, their actions, and `$batch`."""
