"""To the models: one file a vendor, each behind the same seam."""
