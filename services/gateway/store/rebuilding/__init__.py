"""Projections written again from what their owners tell: a file for each family of rows."""
