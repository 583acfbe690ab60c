"""What `velo trace` and VELO_TRACE may be asked to write down. [pure]

In: a list as a person types it. Out: topics of the core. Never: import click; `velo exec` comes by.
"""

from __future__ import annotations

from velo.interpose import core

from .errors import BadConfiguration

TRACE = "VELO_TRACE"


def topics_of(text: str | None) -> tuple[str, ...]:
    """The topics that a list of the command line or of VELO_TRACE names; all of nothing.

    Raises:
        BadConfiguration: there is no such topic.
    """
    names = tuple(filter(None, (text or "").replace(" ", ",").split(",")))
    for name in names:
        if name not in core.TRACE_TOPICS:
            raise BadConfiguration(
                f"no such topic: {name}; there are {', '.join(core.TRACE_TOPICS)}"
            )
    return names or core.TRACE_TOPICS
