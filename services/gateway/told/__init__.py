"""What the events of other services tell the gateway: a file for each family of events, all of them pure."""
