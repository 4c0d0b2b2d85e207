"""``python -m backalaika``, and what the installed command calls.

Each process of a run imports the main module again; so nothing is imported here before it is needed.
"""


def main() -> None:
    """Run the command line, and leave with its exit status."""
    # Half of the start is imports, and an interrupt in the midst of one is a traceback. There is nothing to undo yet.
    try:
        import gc
        import os
        import signal

        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    # Modules and rows are no cyclic garbage, but looking for it after every 700 objects takes a tenth of a short run.
    gc.set_threshold(50_000)
    from .cli.main import main as run

    run()


if __name__ == "__main__":
    main()
