"""The cockpit: pages where people see what needs them, decide it, watch the work, stop it, and read the record.

Everything is rendered here and works as plain forms; scripts only keep open pages fresh and add the keyboard. The
navigation is the operating model: decide, execute, record, and a red stop on every page.
"""
