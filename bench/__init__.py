"""Measurements of the product beside something to compare with. Nothing here deploys."""
