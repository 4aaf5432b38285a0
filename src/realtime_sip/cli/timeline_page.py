"""A timeline as one HTML page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from realtime_sip.call.record.timeline import Mark, Row, Speech, Timeline, ToolRun
from realtime_sip.cli.timeline_text import duration, facts, printable, shown, started, told

__all__ = ["timeline_page"]

_LANES = ("caller", "agent", "tool", "other")
_SECOND = 14
"""Pixels of a second, at least; a short call is as wide as the page."""
_MAX_WIDTH = 100_000
"""Pixels. A call ends after an hour; what a broken log says may be any time."""
_MAX_TICKS = 40

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #1d1b18; --faint: #6b665e; --rule: #e2ddd5;
  --caller: #2f6fde; --agent: #0b8a6a; --tool: #b7791f; --other: #8a8278; --alarm: #c2362b; }
@media (prefers-color-scheme: dark) { :root { --paper: #16171a; --card: #1e2024; --ink: #e9e6e1; --faint: #9b968d;
  --rule: #33353a; --caller: #6ea0ff; --agent: #3ecf9f; --tool: #e6ad55; --other: #8f8a82; --alarm: #ff7a6b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
header p { margin: .2rem 0 1.2rem; color: var(--faint); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(max(9.5rem, 22%), 1fr)); gap: .6rem;
  margin: 0 0 1.5rem; }
dl div { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .55rem .8rem; }
dl div:first-child { grid-column: 1 / -1; }
dt { color: var(--faint); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; line-height: 1.35; }
.lanes { display: flex; background: var(--card); border: 1px solid var(--rule); border-radius: .5rem;
  padding: .75rem; margin-bottom: 1.5rem; }
.names { position: relative; flex: 0 0 3.5rem; font-size: .75rem; color: var(--faint); }
.names span { position: absolute; line-height: 1.2rem; }
.scroll { overflow-x: auto; flex: 1; }
.track { position: relative; min-width: 100%; height: 8.4rem; }
.tick { position: absolute; top: 0; bottom: 0; border-left: 1px solid var(--rule); padding-left: .25rem;
  font-size: .7rem; line-height: 1; color: var(--faint); }
.bar { position: absolute; height: 1.2rem; border-radius: .25rem; min-width: 4px; background: var(--of); }
.bar.mark { width: 4px; } .bar.cut { border-right: 3px solid var(--alarm); } .bar.alarm { background: var(--alarm); }
.caller { --of: var(--caller); --row: 0; } .agent { --of: var(--agent); --row: 1; }
.tool { --of: var(--tool); --row: 2; } .other { --of: var(--other); --row: 3; }
.bar, .names span { top: calc(1.2rem + var(--row) * 1.75rem); }
ol { list-style: none; margin: 0; padding: 0; }
li { display: grid; grid-template-columns: 4.5rem 4.5rem 1fr; column-gap: .75rem; padding: .45rem 0;
  border-top: 1px solid var(--rule); }
li time { color: var(--faint); font-variant-numeric: tabular-nums; text-align: right; }
li time small { display: block; line-height: 1.2; }
li b { color: var(--of); font-weight: 600; } li.alarm b, li.alarm p { color: var(--alarm); }
li p { margin: 0; overflow-wrap: anywhere; } li i { color: var(--faint); font-style: normal; white-space: nowrap; }
@media (max-width: 34rem) {
  li { grid-template-columns: 3.6rem 1fr; }
  li time { grid-row: span 2; }
  li b:empty { display: none; }
}
@media print { .scroll { overflow: visible; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def timeline_page(timeline: Timeline) -> str:
    """Return the page. Whatever the log holds is text in it, never markup."""
    name = escape(printable(timeline.header.call_id))
    model = escape(printable(timeline.model) or "model unknown")
    cards = "".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in _cards(timeline))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{name}</title><style>{_STYLE}</style></head>\n<body><main>'
        f"<header><h1>{name}</h1><p>{started(timeline)} · {model} · {timeline.seconds:.1f} s</p></header>\n"
        f"<dl>{cards}</dl>\n{_lanes(timeline)}\n<ol>\n{''.join(_rows(timeline))}</ol>\n</main></body></html>\n"
    )


def _cards(timeline: Timeline) -> Iterator[tuple[str, str]]:
    ending = timeline.ending
    if ending is None:
        yield "ended", "the log does not say how"
    else:
        yield "ended", f"{printable(ending.reason)} ({printable(ending.certainty)}): {printable(ending.evidence)}"
    yield from facts(timeline)


def _lanes(timeline: Timeline) -> str:
    whole = max([timeline.seconds, *(row.begin for row in timeline.rows), 1.0])
    step = next((step for step in (1, 2, 5, 10, 30, 60, 120, 300, 600) if whole / step <= _MAX_TICKS), None)
    step = step or int(whole / _MAX_TICKS)
    ticks = "".join(
        f'<span class="tick" style="left:{100 * at / whole:.3f}%">{_clock(at)}</span>'
        for at in range(0, int(whole) + 1, step)
    )
    names = "".join(f'<span class="{lane}">{lane}</span>' for lane in _LANES)
    bars = "".join(_bar(row, whole) for row in timeline.rows)
    width = int(min(whole * _SECOND, _MAX_WIDTH))
    return (
        f'<div class="lanes" aria-hidden="true"><div class="names">{names}</div>'
        f'<div class="scroll"><div class="track" style="width:{width}px">{ticks}{bars}</div></div></div>'
    )


def _bar(row: Row, whole: float) -> str:
    seconds = duration(row)
    size = "" if seconds is None else f";width:{100 * seconds / whole:.3f}%"
    kinds = [lane(row), *(["mark"] if seconds is None else []), *(["alarm"] if _alarming(row) else [])]
    kinds += ["cut"] if isinstance(row, Speech) and row.interrupted else []
    title = " ".join([*told(row), *shown(row)])[:300].strip()
    left = 100 * min(max(row.begin, 0.0), whole) / whole
    return f'<span class="bar {" ".join(kinds)}" style="left:{left:.3f}%{size}" title="{escape(title)}"></span>'


def _rows(timeline: Timeline) -> Iterator[str]:
    for row in timeline.rows:
        who, what = told(row)
        seconds = duration(row)
        took = "" if seconds is None else f"<small>{seconds:.1f} s</small>"
        notes = "".join(f" <i>{escape(note)}</i>" for note in shown(row) if note != "[!]")
        kinds = f"{lane(row)}{' alarm' if _alarming(row) else ''}"
        yield (
            f'<li class="{kinds}"><time>{_clock(row.begin, tenths=True)}{took}</time><b>{escape(who)}</b>'
            f"<p>{escape(what)}{notes}</p></li>\n"
        )


def lane(row: Row) -> str:
    """Return the lane of a row."""
    if isinstance(row, Speech):
        return row.by
    return "tool" if isinstance(row, ToolRun) else "other"


def _alarming(row: Row) -> bool:
    return row.alarming if isinstance(row, Mark) else isinstance(row, ToolRun) and row.failed


def _clock(seconds: float, *, tenths: bool = False) -> str:
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"{int(minutes)}:{rest:04.1f}" if tenths else f"{int(minutes)}:{int(rest):02d}"
