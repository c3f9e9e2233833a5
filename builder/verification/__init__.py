"""Verifying a built location: loading its definitions on this machine as the receiving server does."""
