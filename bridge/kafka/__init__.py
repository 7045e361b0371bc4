"""The Kafka adapter: consumer, commits, admin."""
