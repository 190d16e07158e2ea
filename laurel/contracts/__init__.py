"""What the services say to each other and to the world: each event and each body is one frozen class."""
