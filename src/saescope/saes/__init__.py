"""Sparse autoencoders as pure mathematics: functions on vectors that know no transformer, no tokens and no files but their own."""
