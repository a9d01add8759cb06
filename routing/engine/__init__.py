"""The asyncio driver of a request's plan."""
