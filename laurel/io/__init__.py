"""Where Laurel meets the database, the broker and HTTP."""
