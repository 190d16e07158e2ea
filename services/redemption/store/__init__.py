"""Where redemption knows tables, rows, locks and secrets."""
