# SPDX-License-Identifier: Apache-2.0
"""Figures to a table, to JSON and to a picture."""
import html
import statistics


def spread(values):
    """min, median and max, rounded to what the machine can tell apart."""
    return {"min": round(min(values), 3), "median": round(statistics.median(values), 3),
            "max": round(max(values), 3)}


def rows(results):
    """The JSON rows: one for each case and number of flows; `mpps` is the flood."""
    found = []
    for (case, flows), rounds in results.items():
        found.append({"case": case, "flows": flows,
                      "mpps": spread([r["flood"] for r in rounds]),
                      "paced_peak_mpps": spread([r["peak"] for r in rounds]),
                      "rounds": len(rounds)})
    return found


def flow_name(flows):
    if flows >= 1 << 20:
        return f"{flows >> 20}M"
    return f"{flows >> 10}k" if flows >= 1024 else str(flows)


def table(found):
    """Text for a terminal."""
    lines = [f"{'':20}{'':>6}  {'flood, Mpps':^22}  {'paced peak, Mpps':^22}",
             f"{'case':20}{'flows':>6}  {'min':>6}{'median':>9}{'max':>7}  "
             f"{'min':>6}{'median':>9}{'max':>7}"]
    for row in found:
        a, b = row["mpps"], row["paced_peak_mpps"]
        lines.append(f"{row['case']:20}{flow_name(row['flows']):>6}  {a['min']:6.2f}"
                     f"{a['median']:9.2f}{a['max']:7.2f}  {b['min']:6.2f}{b['median']:9.2f}"
                     f"{b['max']:7.2f}")
    return "\n".join(lines)


COLOURS = {("mpps", False): "#9db8d9", ("mpps", True): "#6a8fc0",
           ("paced_peak_mpps", False): "#f0b884", ("paced_peak_mpps", True): "#dd8a3e"}
WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 860, 190, 60, 70, 15, 14


def legend(flows):
    """One swatch for each colour, in one line on top."""
    words, parts, x = {"mpps": "flood", "paced_peak_mpps": "paced peak"}, [], LEFT
    for kind, word in words.items():
        for many in sorted({f > 1 for f in flows}):
            count = max(flows) if many else min(flows)
            text = f"{word}, {flow_name(count)} flow{'s' if many else ''}"
            parts.append(f'<rect x="{x}" y="38" width="12" height="12" fill="{COLOURS[kind, many]}"/>'
                         f'<text x="{x + 17}" y="48">{text}</text>')
            x += 155
    return "".join(parts)


def bar(y, value, scale, colour):
    """A bar to the median with whiskers from min to max, and the median in figures."""
    low, mid, high = (LEFT + value[k] * scale for k in ("min", "median", "max"))
    middle = y + BAR / 2
    return (f'<rect x="{LEFT}" y="{y}" width="{mid - LEFT:.1f}" height="{BAR}" fill="{colour}"/>'
            f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} '
            f'{middle - 4}v8" stroke="#222" fill="none"/>'
            f'<text x="{high + 6:.1f}" y="{middle + 4}">{value["median"]:.2f}</text>')


def axis(height, top_value, scale):
    """Vertical lines at round numbers."""
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10) if top_value / s <= 8)
    parts, tick = [], 0.0
    while tick <= top_value:
        x = LEFT + tick * scale
        parts.append(f'<path d="M{x:.1f} {TOP - 6}V{height - 30}" stroke="#ddd"/>'
                     f'<text x="{x:.1f}" y="{height - 14}" text-anchor="middle">{tick:g}</text>')
        tick += step
    return "".join(parts)


def svg(found, title):
    """A picture: a group of bars for each case."""
    cases = list(dict.fromkeys(row["case"] for row in found))
    flows = {row["flows"] for row in found}
    top_value = max(row[k]["max"] for row in found for k in ("mpps", "paced_peak_mpps")) or 1
    scale = (WIDTH - LEFT - RIGHT) / top_value
    parts, y = [], TOP
    for case in cases:
        first = y
        for row in (r for r in found if r["case"] == case):
            for kind in ("mpps", "paced_peak_mpps"):
                parts.append(bar(y, row[kind], scale, COLOURS[kind, row["flows"] > 1]))
                y += BAR + 2
        parts.append(f'<text x="{LEFT - 10}" y="{(first + y) / 2 + 3}" text-anchor="end" '
                     f'font-weight="bold">{html.escape(case)}</text>')
        y += GAP
    height = y + 36
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" '
            f'fill="#fff"/><text x="{LEFT}" y="24" font-size="15">{html.escape(title)}</text>'
            f'{legend(flows)}{axis(height, top_value, scale)}{"".join(parts)}</svg>\n')
