"""The report: one HTML page that needs no network, with tables and figures as files beside it.

`stiffgrad report` makes it out of what is on record; what is on record decides what is in it.
"""


class ReportError(RuntimeError):
    """The report cannot be made; the message says why and what to do."""
