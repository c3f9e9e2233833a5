"""Assembling PEX files and image layers from wheels and files. No network, no clock."""
