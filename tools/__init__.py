"""What `make` calls beside the stages. Nothing here changes a result."""
