"""Decides what happens on a call, without I/O and without a clock."""
