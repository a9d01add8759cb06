"""Whom to avoid, and until when."""
