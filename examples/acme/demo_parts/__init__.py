"""What `demo.py` is made of: the desk's workers, the people, what is shown, and how the outcome is checked."""
