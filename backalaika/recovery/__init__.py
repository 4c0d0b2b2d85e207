"""Recovery: PAR2 recovery files of a volume, by which any par2 program can repair it.

`layout` says how large they become, before they are made; `program` runs a par2 program; `packets` reads them again;
`damage` counts what must be repaired; `repairing` repairs a copy.
"""
