"""Reading: what is on a medium, archives and the archives in them included.

`streams` gives bytes in order, decoded if they are compressed; `sniffing` tells what they are; `tar` and `zip` find
members in them; `entering` makes rows of a file and of all that is in it. None of these knows a catalogue, and none
writes anywhere. `pool` has the processes that do it, `medium` hands out the work, `own` takes a shortcut on media that
this program wrote.
"""
