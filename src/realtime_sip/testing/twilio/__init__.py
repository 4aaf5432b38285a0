"""Twilio's side of a call, on loopback."""
