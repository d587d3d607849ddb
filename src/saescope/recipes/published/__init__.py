"""Published recipes: papers' ways of training SAEs as runs of the main job, in full and at a small scale that is tested.

Each module holds `full() -> RunConfig | SweepConfig`, `small(folder)` of the same kind, and `RECIPE`; its docstring says what was
published, how each coefficient is converted to our units, and what differs. Numbers called "ours" are not from the paper.
"""
