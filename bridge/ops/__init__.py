"""What operators see: states, metrics, health."""
