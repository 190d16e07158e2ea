"""What `make bench` measures: the stages on their own, the whole path, the till, the start; each beside TPC-B."""
