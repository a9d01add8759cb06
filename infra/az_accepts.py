"""Would the released azure-cli take these command lines? It parses each with its own parser and runs none.

`.venv-infra/bin/python infra/az_accepts.py FILE...`: any files; their lines that start with `az ` are judged.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path

# azure-cli keeps a configuration and an index of commands: in a place of its own, and it tells nobody.
os.environ["AZURE_CONFIG_DIR"] = tempfile.mkdtemp(prefix="az-accepts-")
os.environ["AZURE_CORE_COLLECT_TELEMETRY"] = "false"

from azure.cli.core import get_default_cli


def accepts(arguments: list[str]) -> bool:
    """Whether azure-cli's parser takes the arguments; if not, it has said why on stderr."""
    cli = get_default_cli()
    cli.invocation = cli.invocation_cls(
        cli_ctx=cli,
        parser_cls=cli.parser_cls,
        commands_loader_cls=cli.commands_loader_cls,
        help_cls=cli.help_cls,
    )
    loader, parser = cli.invocation.commands_loader, cli.invocation.parser
    loader.load_command_table(arguments)
    # Names of options are loaded for one command: the words before the first option.
    words = [" ".join(arguments[:n]) for n in range(len(arguments), 0, -1)]
    command = next((w for w in words if w in loader.command_table), "")
    cli.invocation.data["command_string"] = command
    loader.load_arguments(command)
    parser.load_command_table(loader)
    try:
        parser.parse_args(arguments)
    except SystemExit as end:
        return not end.code
    return True


def main(files: list[str]) -> int:
    """Checks all files; returns the number of refused lines."""
    lines = [line for file in files for line in Path(file).read_text(encoding="utf-8").splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("az ")]
    refused = [c for c in commands if not accepts(c)]
    for command in refused:
        sys.stdout.write(f"refused: az {shlex.join(command)}\n")
    sys.stdout.write(f"azure-cli's parser: {len(commands)} command lines, {len(refused)} refused\n")
    return len(refused) if commands else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
