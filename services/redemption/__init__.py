"""Rewards, stock, redemption sagas and vouchers."""
