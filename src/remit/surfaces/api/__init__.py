"""`/api/v1`: all that the cockpit does, for programs. The same verbs, the same rights, the shapes of `--json`.

`openapi.json` beneath it is the reference. Errors are problem details (RFC 9457), lists are in pages by cursor, and a
write that comes twice under one `Idempotency-Key` is done once.
"""
