"""Remembers what happened on a call, without I/O and without a clock."""
