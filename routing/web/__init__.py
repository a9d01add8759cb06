"""The edge: keys, requests, answers."""
