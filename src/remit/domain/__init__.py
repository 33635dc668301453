"""Pure records and rules: what Remit is about, without I/O and without a clock.

Declared things (read from the project's files) are frozen pydantic models, so that one definition gives the
validation, the published JSON Schema and the type. Things that happen are frozen dataclasses.
"""
