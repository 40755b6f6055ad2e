"""HTTP server of a running fleet: browser pages and the Microsoft Graph API."""
