"""AsyncAPI document, JSON Schemas and the contract page."""
