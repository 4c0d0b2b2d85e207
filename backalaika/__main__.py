"""``python -m backalaika``, and what the installed command calls.

Each process of a run imports the main module again; so nothing is imported here before it is needed.
"""


def main() -> None:
    """Run the command line, and leave with its exit status."""
    import os
    import signal

    # Half of the start is imports, and an interrupt in the midst of one is a traceback. There is nothing to undo yet.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    from .cli.main import main as run

    run()


if __name__ == "__main__":
    main()
