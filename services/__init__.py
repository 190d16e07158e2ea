"""Three services that speak through Kafka; they share nothing but `laurel`."""
