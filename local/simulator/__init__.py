"""Simulated regional model endpoints for `make run`: vendors' wire formats over real HTTP, latency as in production.

A call's way through the package:

    app ─ calls ─┬─ dialects ── openai_request · anthropic_request     body → Ask
                 ├─ faults · capacity · latency                        what the world does to it, and when
                 ├─ answer ── text · example                           Ask → Answer
                 └─ dialects ── openai_reply · anthropic_reply         Answer or Refused → bytes
    app ─ steering ── endpoint · faults                                watched and steered while it runs
"""
