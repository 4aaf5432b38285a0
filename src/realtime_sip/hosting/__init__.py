"""Runs calls beside a web server."""
