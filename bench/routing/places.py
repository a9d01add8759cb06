"""Regions: where routers run and models are hosted, and the round trips between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.routing.traces import Floats, load
from routing.fleet import Fleet, Region

SAME_REGION_S = 0.002

# Azure's own names and coordinates (az account list-locations)
REGIONS = {
    "East US": Region(id="eastus", geography="us", latitude=37.3719, longitude=-79.8164),
    "East US 2": Region(id="eastus2", geography="us", latitude=36.6681, longitude=-78.3889),
    "West US": Region(id="westus", geography="us", latitude=37.783, longitude=-122.417),
    "West US 2": Region(id="westus2", geography="us", latitude=47.233, longitude=-119.852),
    "South Central US": Region(id="southcentralus", geography="us", latitude=29.4167, longitude=-98.5),
    "West Europe": Region(id="westeurope", geography="eu", latitude=52.3667, longitude=4.9),
    "Sweden Central": Region(id="swedencentral", geography="eu", latitude=60.67488, longitude=17.14127),
    "UK South": Region(id="uksouth", geography="eu", latitude=50.941, longitude=-0.799),
    "France Central": Region(id="francecentral", geography="eu", latitude=46.3772, longitude=2.373),
    "Southeast Asia": Region(id="southeastasia", geography="asia", latitude=1.283, longitude=103.833),
    "Japan East": Region(id="japaneast", geography="asia", latitude=35.68, longitude=139.77),
    "Australia East": Region(id="australiaeast", geography="other", latitude=-33.86, longitude=151.2094),
}
ROUTERS = ("East US", "West Europe", "Southeast Asia", "West US 2")
HOSTS = (
    "East US",
    "West Europe",
    "Southeast Asia",
    "West US 2",
    "Sweden Central",
    "Japan East",
    "South Central US",
    "UK South",
    "France Central",
    "Australia East",
)
PROBE_ROUTERS = ("East US", "France Central", "West US 2")  # where the probes of 2024 ran: iad, cdg, sea

AZURE_HOSTS = ("East US 2", "South Central US", "France Central", "Sweden Central", "UK South", "West US", "East US")
PROBE_HOSTS = ("East US", "East US", "West US 2", "West Europe")


def in_eu(place: str) -> bool:
    """Whether data that must stay in the EU may go there. The UK counts, as in the scenarios' origin."""
    return REGIONS[place].geography == "eu"


def measured_rtt(folder: Path, sources: Sequence[str], targets: Sequence[str]) -> Floats:
    """Round trips in seconds between regions: measured medians; 2 ms within one region."""
    table = load(folder, "azure_rtt_ms_2025-06")
    row = {source: i for i, source in enumerate(table["source"])}

    def seconds(a: str, b: str) -> float:
        if a == b:
            return SAME_REGION_S
        there = table[b][row[a]] if b in table else np.nan
        return float(table[a][row[b]] if np.isnan(there) else there) / 1000

    return np.array([[seconds(a, b) for b in targets] for a in sources])


def estimated_rtt(sources: Sequence[str], targets: Sequence[str]) -> Floats:
    """Round trips in seconds from distances, as the product estimates them where it has measured none."""
    globe = Fleet.model_construct(regions=tuple(REGIONS.values()))
    return np.array([[globe.rtt_ms(REGIONS[a].id, REGIONS[b].id) for b in targets] for a in sources]) / 1000
