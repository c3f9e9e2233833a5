"""Loading a built location as the receiving server does, on this machine."""
