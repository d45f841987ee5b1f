"""The look of the HTML view, as inline styles.

A notebook that somebody else has run is not trusted by JupyterLab: it keeps inline styles and drops style sheets. So
everything a reader needs is inline, in colours that work on light and on dark; the sheet adds what is only pleasant.
"""

from __future__ import annotations

import re

GREEN, RED, BLUE, AMBER = "#2e9e4f", "#e5484d", "#3b8fe8", "#b7791f"
LINE, SHADE = "rgba(128,128,128,0.35)", "rgba(128,128,128,0.12)"

SHEET = (
    ".rlm summary:hover{background:" + SHADE + "}"
    ".rlm .pulse{animation:rlm-pulse 1.2s infinite}@keyframes rlm-pulse{50%{opacity:.2}}"
)

_ANSWER = "font-size:16px;margin:8px 0;max-height:30em;overflow:auto;padding:2px 12px;white-space:pre-wrap"

STYLES = {
    "answer": f"border-left:4px solid {GREEN};{_ANSWER}",
    "badge": "border:1px solid;border-radius:12px;font-size:11px;font-weight:bold;padding:1px 9px;white-space:nowrap",
    "bad": f"border:1px solid {RED};color:{RED}",
    "code": "background-color:transparent;font-size:12px;padding:0",
    "details": f"border-left:1px solid {LINE};margin:2px 0 2px 5px;padding-left:10px",
    "dim": "font-size:12px;opacity:0.65",
    "error": f"color:{RED}",
    "failure": f"border-left:4px solid {RED};color:{RED};margin:8px 0;padding:2px 12px;white-space:pre-wrap",
    "note": f"border-left:3px solid {AMBER};padding-left:9px",
    "partial": f"border-left:4px solid {AMBER};{_ANSWER}",
    "ok": f"color:{GREEN}",
    "out": f"background-color:transparent;border:1px solid {LINE}",
    "p": "margin:3px 0;white-space:pre-wrap",
    "pre": (
        f"background-color:{SHADE};border-radius:4px;font-size:12px;line-height:1.45;margin:4px 0;max-height:24em;"
        "overflow:auto;overflow-wrap:anywhere;padding:6px 9px;white-space:pre-wrap"
    ),
    "q": "font-size:14px;margin-left:6px",
    "rlm": "font-size:13px;line-height:1.55;max-width:1100px;overflow-wrap:anywhere",
    "running": f"color:{BLUE}",
    "stopped": f"color:{AMBER}",
    "summary": "cursor:pointer",
    "warn": f"border-left:3px solid {AMBER}",
}
"""By tag and by class; a later class of an element wins over an earlier one."""

_TAG = re.compile(r'<([a-z]+)(?: class="([a-z ]+)")?(?=[ >])')


def inline(page: str) -> str:
    """Add to each opening tag the styles of its name and classes. Escaped text holds no tag, so none is touched."""

    def styled(match: re.Match[str]) -> str:
        names = [match[1], *(match[2] or "").split()]
        style = ";".join(STYLES[name] for name in names if name in STYLES)
        return f'{match[0]} style="{style}"' if style else match[0]

    return _TAG.sub(styled, page)
