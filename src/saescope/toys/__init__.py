"""Small experiments with known answers. A toy is a source of activations; what is trained on it is scored by `evals`."""
