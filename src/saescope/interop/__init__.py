"""SAEs from elsewhere: one door, `open_sae`."""

from saescope.interop.open_sae import OpenedSAE, open_sae

__all__ = ["OpenedSAE", "open_sae"]
