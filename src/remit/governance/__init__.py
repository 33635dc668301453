"""The verbs of control: policy, approvals, limits, stops, audit, and the gate that reads them in order."""
