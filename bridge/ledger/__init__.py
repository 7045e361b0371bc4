"""What is in flight, in Redis; survives the bridge."""
