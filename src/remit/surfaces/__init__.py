"""Thin translations between people or systems and Remit. Surfaces never import each other."""
