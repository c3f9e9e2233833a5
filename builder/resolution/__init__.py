"""Requirements become a lock of one target, and a lock becomes wheels on this machine."""
