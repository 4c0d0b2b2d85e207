"""Reading: what is on a medium, archives and the archives in them included.

`streams` gives bytes in order, decoded if they are compressed, and `seekable` anywhere; `sniffing` tells what they
are. `tar`, `zip` and `sevenzip` (with `unpacking` and `bcj2`) find members in them, `image` (by `iso9660`, `rockridge`
and `udf`) in images of discs. `trees` has the files of a medium, a folder or an image. `entering` makes rows of a
file, and `archives`, `zips` and `sevenzips` of all that is in it, by `telling`. None of these knows a catalogue, and
none writes anywhere. `pool` has the processes that do it, `medium` hands out the work, `own` takes a shortcut on media
that this program wrote.
"""
