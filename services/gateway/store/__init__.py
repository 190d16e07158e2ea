"""The gateway's tables and its SQL: nothing outside this room knows a row."""
