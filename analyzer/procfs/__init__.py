"""Reading /proc: `fs` is the only opener, and each file of /proc has one pure parser.

Parsers take bytes and the place that they came from, and raise BadInputError with that place and
the line. What needs more than text, kcmp(2), is in `kcmp`; what can be told about sharing without
it, in `identity`.
"""
