"""The points service: members' wallets, the ledger, lots, holds and the decisions that move them."""
