"""Makes the shapes of `remit.evidence.shapes` from rows and values: what the commands print and the API answers."""
