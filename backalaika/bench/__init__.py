"""Bench: how fast this machine is on the user's own files, what limits a backup here, and which settings suit.

`sample` chooses pieces of files, `tasks` is what the processes of the pool do, `measuring` takes the times one after
another within the seconds that are given, and `advice` makes of these what a user wants to know.
"""
