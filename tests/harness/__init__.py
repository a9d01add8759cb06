"""What the tests stand on: upstreams that misbehave on purpose, the bytes they speak, and what must hold afterwards.

upstream        a scripted HTTP/1.1 server that writes raw bytes; script: its steps; connection, incoming: its ears
wire            HTTP and SSE framing; openai_wire and anthropic_wire: what the two vendors say in it
ports, tls      a port that refuses, one whose backlog is full; certificates good, expired and foreign
proxy           a TCP proxy with network faults, between any client and any server
invariants      I1 to I9 after a test; answers (I2, I9), leaks (I6) and canaries (I7) have files of their own
eventually      waiting for a condition under a guard
clients         the vendors' SDKs pointed at an upstream, without their own retries
"""
