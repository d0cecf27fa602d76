"""One file per DVC stage, named as in dvc.yaml. Run one by hand with `python -m stages.<name> --help`."""
