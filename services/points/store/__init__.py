"""Where points knows tables, rows and locks."""
