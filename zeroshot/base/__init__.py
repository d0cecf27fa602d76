"""What every stage stands on and every result rests on: artifacts, files, params, processes. It knows nobody above."""
