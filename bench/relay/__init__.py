"""What the router costs as a hop: added latency, throughput and memory, beside a bare relay, in one run.

Three programs take turns in front of one fake upstream, each alone on a core, while the load generator and the
upstream share the other: (a) the app in the real Functions worker runtime, (b) the same through the local host, (c) the
Functions extension's own web server with nothing but a relay in it. Absolute figures move with the machine and with
what else runs on it; the ratios to (c) are the result.
"""
