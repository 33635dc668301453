"""What runs on the far side of the wall: a zygote, and the children it forks, one for each run of a turn.

Nothing here may import more than the standard library and `remit.runtime.isolation`: all of it is loaded by an
interpreter without installed packages, and every child pays for it in memory. Modules import each other relatively,
because the zygote loads this folder under a name of its own.
"""
