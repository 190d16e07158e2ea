"""A broker of the Kafka protocol for `laurel up` and tests: one process, in memory only."""
