"""The vendors' SDKs pointed at an upstream, without retries of their own."""

from __future__ import annotations

from typing import Any

import anthropic
import openai

KEY = "sk-canary-of-the-harness"
TIMEOUT_S = 30.0


def openai_client(url: str, **options: Any) -> openai.AsyncOpenAI:
    """OpenAI's client for a base without path. `options` are the SDK's own and win."""
    return openai.AsyncOpenAI(**{"base_url": f"{url}/v1", **_defaults(), **options})


def anthropic_client(url: str, **options: Any) -> anthropic.AsyncAnthropic:
    """Anthropic's client for a base without path. `options` are the SDK's own and win."""
    return anthropic.AsyncAnthropic(**{"base_url": url, **_defaults(), **options})


def _defaults() -> dict[str, Any]:
    return {"api_key": KEY, "max_retries": 0, "timeout": TIMEOUT_S}
