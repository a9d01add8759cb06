"""What instances share."""
