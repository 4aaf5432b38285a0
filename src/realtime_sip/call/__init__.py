"""A call that is answered: what runs it, and what a program can ask of it."""
