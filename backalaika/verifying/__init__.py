"""Verifying: is a volume still what was written? By its sums, its manifest and the catalogue.

`checking` is what the processes of the pool do; `sums` reads SUMS.xxh128 as strictly as it was written; `verify` is the
whole. `recovery` weighs damage against PAR2 recovery files, and `reading_back` is for a volume that was just written.
"""
