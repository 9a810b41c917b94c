"""The commands, one file each: `EXAMPLES` for its help, and `run`, whose options are the command's.

A new command is one file here and a line in `cli.app`.
"""
