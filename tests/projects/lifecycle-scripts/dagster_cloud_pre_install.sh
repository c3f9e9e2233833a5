apt-get install -y libpq5
