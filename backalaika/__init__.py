"""Backalaika: a parallel archiver that sizes backups to fit the media at hand, and a catalogue of every disc."""

__version__ = "1.0.0.dev0"
