"""What `builder.deploy` does with a build: plan, verify, upload, update, announce."""
