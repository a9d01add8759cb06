"""The router in virtual time: the product's own plan, policy and tracker against simulated deployments."""
