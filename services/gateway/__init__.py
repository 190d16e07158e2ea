"""The public face: partners, keys, requests and their outcomes, batches, projections."""
