"""What sharing costs: latency while the store is away, calls, the time of a merge, bytes.

python -m bench.store
"""
