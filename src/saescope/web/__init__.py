"""The explorer: for now, the static page of a run."""
