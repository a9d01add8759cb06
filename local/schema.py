"""`make schema`: writes fleet.schema.json from the code that checks a fleet."""

from __future__ import annotations

from pathlib import Path

from routing.fleet import json_schema


def main() -> None:
    """Write the schema beside fleet.json."""
    (Path(__file__).parent.parent / "fleet.schema.json").write_text(json_schema())


if __name__ == "__main__":
    main()
