"""The feature database: one pass over a text makes it (`build.py`), `FeatureStore` reads it."""
