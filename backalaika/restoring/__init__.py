"""Restoring: files from volumes back into a directory, each checked by its digest before it has its name.

`selecting` makes `items` of what is asked for, from the catalogue or from the manifests of volumes; `shelf` knows a
volume again, wherever it is, by what `asking` looks up there; `choosing` says which are needed; `frames` reads members
out of archives, without a file system to write to, `foreign` out of those that others made, and `placing` writes into
the directory and nowhere else; `worker` joins these in the processes of the pool; `giving` gives these their tasks, and
finds out by `signs` when a medium hangs; `restore` is the whole.
"""
