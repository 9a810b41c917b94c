"""The commands, one file each: `EXAMPLES` for its help, and `run`, whose options are the command's.

A new command is one file here and a line below.
"""

from __future__ import annotations

from typing import Final

COMMANDS: Final = {
    "collect": "Keep the reference graph of a subtree in a file.",
    "report": "Say what a snapshot shows.",
    "check": "Tell whether a subtree is contained.",
    "diff": "Tell what is new, gone and changed between two snapshots.",
    "watch": "Check a subject again and again, and tell what becomes of it.",
    "who": "Tell who still holds an object, on the whole machine.",
    "namespaces": "List all namespaces of the machine, and what keeps each.",
    "census": "Count and name every reference of the whole machine.",
    "graph": "Write the reference graph of a snapshot: who holds what.",
    "plot": "Draw what a snapshot shows.",
    "export": "Write the tables of snapshots, and verdicts, for other tools.",
    "fleet": "Check the snapshots of many machines, and compare them.",
    "explain": "Say what a word of a report means.",
    "doctor": "Show what this host lets cranalyze see.",
    "demo": "Start a small leaking container, and explain.",
    "procdump": "Dump /proc for a later collect --proc.",
    "schema": "Print the JSON Schema of what a command writes with --json.",
}
"""The commands, in the order of help, and its line for each: the first that `run` says of it."""
