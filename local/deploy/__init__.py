"""To Azure: `python -m local.deploy deploy --env dev`. README.md and docs/operations.md say what it costs and undoes.

`plan` says which commands, in which order; `execute` runs them; `smoke` asks a deployed region for a stream.
"""
