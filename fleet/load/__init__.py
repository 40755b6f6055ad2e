"""`passfleet load`: commands at a rate of arrival, and what became of every one of them."""
