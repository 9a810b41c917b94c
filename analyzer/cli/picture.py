"""Where a picture goes, and in which form."""

from __future__ import annotations

from analyzer.core.errors import BadInputError


def target(output: str | None, form: str | None, *, force: bool) -> tuple[str, str]:
    """Return the file (``-``: stdout) and one of the forms of pictures.

    Raises BadInputError if no file is named or its form not known, before anything is drawn; and
    if the file is there, without `force`.
    """
    from analyzer.core.files import refuse_target
    from analyzer.plots.base import form_of
    from analyzer.snapshot import crz

    if output is None:
        raise BadInputError("name the picture: -o FILE.png, .svg or .pdf (-o - is stdout)")
    chosen = form_of(output, form)
    if output == "-":
        crz.refuse_stdout("a picture")
    else:
        refuse_target(output, force=force)
    return output, chosen
