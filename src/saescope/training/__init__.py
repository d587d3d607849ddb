"""The one training loop and its parts, one idea each."""
