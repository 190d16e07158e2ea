"""What would be true on paper: facts, wallets and deciders. No I/O, no clock."""
