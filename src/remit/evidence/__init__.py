"""What the ledger proves: exports, proofs, traces."""
