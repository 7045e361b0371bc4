"""Every option once."""
