"""The apps of the cases that are not plain throughput; what differs from case to case is in the environment."""
