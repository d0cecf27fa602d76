"""What every stage stands on: errors, params, progress, files, artifacts, checkpoints. One dependency in dvc.yaml."""
