"""Real input, sent through the front door: a year of grocery baskets becomes members and activities."""
