"""How fast the lab is, how much memory it takes, and whether it survives being killed. Each module is a command.

README.md has the tables that come of them. Nothing imports them but each other.
"""
