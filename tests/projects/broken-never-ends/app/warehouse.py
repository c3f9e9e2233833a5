import time


def connect() -> None:
    """Wait for a warehouse that does not answer."""
    while True:
        time.sleep(3600)
