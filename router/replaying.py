"""What `velo exec` says of a build whose steps were recorded, answered, or checked.

In: settings, a report of the sealer. Out: lines. Never: an import of the sealer, which costs 20 ms
that a command without replay need not pay.
"""

from __future__ import annotations

from typing import Any

VARIABLE = "VELO_REPLAY"


def line_of(report: dict[str, Any]) -> str:
    """What a user reads after a build."""
    steps = report["replayed"] + report["run"] + report["not_cached"]
    text = f"replayed {report['replayed']} of {steps} steps"
    if report["saved_s"] > 0:
        text += f", about {report['saved_s']:.1f} s of work"
    if report["not_cached"]:
        text += f"; {report['not_cached']} cannot be cached ('velo explain' says why)"
    return text
