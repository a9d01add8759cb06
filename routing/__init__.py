"""Latency router for LLM applications."""
