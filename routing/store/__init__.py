"""What instances share.

shared.py         the store: what is written where, and what is taken from others' writing
keys.py           table names, partition and row keys
codec.py          rows as they are stored, versioned
bounds.py         what rows may hold; whatever is not as it should be is refused, both ways
tables.py         the seam: the few operations of Table Storage that are needed
memory.py         ... in the memory of one process, the default
table_storage.py  ... on azure-data-tables
"""
