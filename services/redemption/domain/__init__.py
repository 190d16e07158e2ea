"""What is true of rewards, stock, sagas and vouchers on paper: no clock, no randomness, no I/O."""
