"""A florist's application, whose two phone numbers are answered."""
