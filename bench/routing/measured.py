"""Series from real measurements, in the layout of the traces that `TRACES` names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.routing import places
from bench.routing.deployments import Z90, Z99, Series
from bench.routing.traces import Column, Floats, Table, load, where

# (tier, model, how many of its providers)
ENDPOINT_MODELS = (
    (4, "deepseek/deepseek-v4-pro-20260423", 5),
    (4, "moonshotai/kimi-k3-20260715", 2),
    (3, "z-ai/glm-5.2-20260616", 4),
    (3, "moonshotai/kimi-k2.6-20260420", 4),
    (2, "deepseek/deepseek-v4-flash-20260423", 4),
    (2, "meta-llama/llama-3.3-70b-instruct", 3),
    (1, "openai/gpt-oss-20b", 3),
    (1, "google/gemma-4-31b-it-20260402", 3),
)
# Deployments that were probed, with their quality tiers
PROBED = (
    ("azure.eastus2/gpt-4-1106-preview", 4),
    ("azure.scentralus/gpt-4-0125-preview", 4),
    ("azure.frcentral/gpt-4-1106-preview", 4),
    ("azure.secentral/gpt-4-1106-preview", 4),
    ("azure.uksouth/gpt-4-1106-preview", 4),
    ("azure.westus/gpt-4-1106-preview", 4),
    ("openai/gpt-4-turbo", 4),
    ("openai/gpt-4-0125-preview", 4),
    ("openai/gpt-4-1106-preview", 4),
    ("anthropic/claude-3-opus-20240229", 4),
    ("anthropic/claude-3-sonnet-20240229", 3),
    ("cohere/command-r-plus", 3),
    ("perplexity.ai/sonar-medium-chat", 2),
    ("anthropic/claude-2.1", 3),
    ("together.ai/llama-2-70b-chat", 2),
    ("perplexity.ai/mixtral-8x7b-instruct", 2),
    ("fireworks.ai/mixtral-8x7b-instruct", 2),
    ("cohere/command-r", 2),
    ("anthropic/claude-3-haiku-20240307", 2),
    ("azure.eastus2/gpt-3.5-turbo", 1),
    ("azure.westus/gpt-3.5-turbo-1106", 1),
    ("openai/gpt-3.5-turbo-0125", 1),
    ("openai/gpt-3.5-turbo-1106", 1),
    ("anthropic/claude-instant-1.2", 1),
    ("cohere/command-light", 1),
)
AZURE_PLACES = {
    "azure.eastus2": "East US 2",
    "azure.scentralus": "South Central US",
    "azure.frcentral": "France Central",
    "azure.secentral": "Sweden Central",
    "azure.uksouth": "UK South",
    "azure.westus": "West US",
}
PROBE_SITES = ("iad", "cdg", "sea")
PROBE_PRICES = {4: (1e-5, 3e-5), 3: (3e-6, 1.5e-5), 2: (5e-7, 1e-6), 1: (5e-7, 1.5e-6)}  # dollars a token, 2024
SEQUENCE_TIERS = {"llama2-7b": 1, "llama2-13b": 2, "llama2-70b": 4}
SEQUENCE_PRICES = {1: 2e-7, 2: 4e-7, 4: 9e-7}


def endpoints(folder: Path, rng: np.random.Generator) -> list[Series]:
    """Endpoints of 2026 that are seen on nearly every day; each day's quantiles are one regime."""
    table = load(folder, "openrouter_endpoints")
    table = where(table, (table["ttft_p50_ms"] > 0) & (table["tps_p50"] > 0))
    days = len(set(table["snapshot_date"]))
    series = []
    for tier, model, count in ENDPOINT_MODELS:
        rows = where(table, table["model"] == model)
        chosen = rng.permutation(np.array(_steady(rows, days)))[:count]
        series += [_endpoint(where(rows, rows["endpoint_id"] == e), tier, model) for e in chosen]
    return series


def _steady(rows: Table, days: int) -> list[str]:
    steady = []
    for endpoint in sorted(set(rows["endpoint_id"])):
        mine = rows["endpoint_id"] == endpoint
        if len(set(rows["snapshot_date"][mine])) >= days - 2 and np.median(rows["requests"][mine]) >= 100:
            steady.append(str(endpoint))
    return steady


def _endpoint(rows: Table, tier: int, model: str) -> Series:
    rows = where(rows, np.argsort(rows["snapshot_date"], kind="stable"))
    p50, p90, p99 = (rows[f"ttft_{p}_ms"] for p in ("p50", "p90", "p99"))
    return Series(
        name=f"{model.split('/')[1]}@{rows['provider'][0]}",
        tier=tier,
        price_in=float(np.median(rows["price_in_usd_per_token"])),
        price_out=float(np.median(rows["price_out_usd_per_token"])),
        log_ttft=np.log(p50 / 1000),
        sigma_up=np.log(np.maximum(p90 / p50, 1.05)) / Z90,
        sigma_tail=np.log(np.maximum(p99 / p90, 1.02)) / (Z99 - Z90),
        log_tpot=np.log(1 / rows["tps_p50"]),
    )


def probes(folder: Path, azure_only: bool) -> tuple[list[Series], list[str], Floats]:
    """Deployments probed from three places in 2024: series, hosts, round trips. A triple of probes is one regime."""
    table = load(folder, "thefastest_probes_2024")
    table = where(table, (table["ttft_s"] > 0.02) & (table["ttft_s"] < 60))
    who = np.array([f"{p}/{m}" for p, m in zip(table["provider"], table["model"], strict=True)])
    chosen = [x for x in PROBED if not azure_only or x[0].startswith(("azure", "openai"))]
    median = np.array(
        [[np.median(table["ttft_s"][(who == n) & (table["region"] == r)]) for n, _ in chosen] for r in PROBE_SITES]
    )
    series = [_probed(where(table, who == n), n, tier, median[:, j]) for j, (n, tier) in enumerate(chosen)]
    hosts = [
        _host(n, in_eu=int(np.argmin(median[:, j])) == PROBE_SITES.index("cdg")) for j, (n, _) in enumerate(chosen)
    ]
    rtt: Floats = np.maximum(0.005, median - median.min(0) + 0.010)  # the nearest site is taken to be 10 ms away
    return series, hosts, rtt


def _host(name: str, in_eu: bool) -> str:
    """Azure's region where the name tells it and the round trips agree, else the nearest site's part of the world."""
    named = AZURE_PLACES.get(name.split("/", maxsplit=1)[0])
    if named is not None and places.in_eu(named) == in_eu:
        return named
    return "West Europe" if in_eu else "East US"


def _probed(rows: Table, name: str, tier: int, median: Floats) -> Series:
    rows = where(rows, np.argsort(rows["time"], kind="stable"))
    of_site = {r: np.median(rows["ttft_s"][rows["region"] == r]) for r in set(rows["region"])}
    deviation = triples(np.log(rows["ttft_s"]) - np.log([of_site[r] for r in rows["region"]]))
    common = np.median(deviation, 1)
    spread = max(0.15, float(np.std(deviation - common[:, None])))
    return Series(
        name=name,
        tier=tier,
        price_in=PROBE_PRICES[tier][0],
        price_out=PROBE_PRICES[tier][1],
        log_ttft=np.log(max(0.03, float(median.min()) - 0.010)) + 0.7 * common,
        sigma_up=np.array([spread]),
        sigma_tail=np.array([1.6 * spread]),
        log_tpot=np.log(1 / np.clip(np.median(triples(rows["tps"]), 1), 5, 250)),
    )


def sequences(folder: Path) -> list[Series]:
    """Requests of 2023 in the order they were made; three in a row are one regime."""
    table = load(folder, "llmperf_sequences_2023")
    table = where(table, (table["ttft_s"] > 0) & (table["output_tokens"] > 20))
    series = []
    for provider, model in sorted(set(zip(table["provider"], table["model"], strict=True))):
        rows = where(table, (table["provider"] == provider) & (table["model"] == model))
        if len(rows["seq"]) >= 100:
            series.append(_sequence(rows, f"{provider}/{model}", SEQUENCE_TIERS[model]))
    return series


def _sequence(rows: Table, name: str, tier: int) -> Series:
    x = triples(np.log(rows["ttft_s"][np.argsort(rows["seq"], kind="stable")]))
    level = np.median(x, 1)
    spread = max(0.08, float(np.std(x - level[:, None])))
    per_token = (rows["e2e_s"] - rows["ttft_s"]) / (rows["output_tokens"] - 1)
    return Series(
        name=name,
        tier=tier,
        price_in=SEQUENCE_PRICES[tier],
        price_out=SEQUENCE_PRICES[tier],
        log_ttft=level,
        sigma_up=np.array([spread]),
        sigma_tail=np.array([1.6 * spread]),
        log_tpot=np.log(np.median(triples(per_token[per_token > 1e-3]), 1)),
    )


def triples(x: Column) -> Floats:
    """Consecutive values in groups of three; a short remainder is dropped."""
    grouped: Floats = x[: len(x) // 3 * 3].reshape(-1, 3)
    return grouped
