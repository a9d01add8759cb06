"""What each deployment can take now."""
