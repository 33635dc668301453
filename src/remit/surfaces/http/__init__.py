"""What the cockpit and the API share: who is asking, what is open to them, and what they are told when it is not."""
