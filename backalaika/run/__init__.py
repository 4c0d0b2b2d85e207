"""A run: from what was found to complete volumes, with a process pool and one process that writes."""
