"""The service's API: operations over REST, the sideband, and the two ways to carry them out."""
