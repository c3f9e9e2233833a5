"""Wheels and files become the bytes of PEX files. Pure: no network, no clock."""
