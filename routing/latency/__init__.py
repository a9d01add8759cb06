"""What we know of each deployment's latency."""
