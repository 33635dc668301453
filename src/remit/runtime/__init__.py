"""Durable execution: turns, tools, models, programs, workers. The gate decides; the runtime waits."""
