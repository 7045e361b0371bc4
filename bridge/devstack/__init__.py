"""An embedded Kafka and Redis for the demo and the tests."""
