NAME = "from_beside"
