"""Jobs: what to back up and how, as the user wrote it in a job file and in ``~/.backalaika``."""
