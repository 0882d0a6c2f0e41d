# The plot of scripts/failover.sh: its run lines in, an SVG out. For each fault
# two rows of dots, one dot a run: the gap at the fault and the second gap; the
# bars are p50 and p99.
function x(ms) { return 150 + 700 * (ms > 1000 ? 1000 : ms) / 1000 }
function sorted(f, c,   i, k, v) {
    n = cnt[f]
    for (i = 1; i <= n; i++) {
        v = gap[f, c, i]
        for (k = i - 1; k >= 1 && a[k] > v; k--) {
            a[k + 1] = a[k]
        }
        a[k + 1] = v
    }
}
function q(p,   i) {
    i = int(p * n)
    i += i < p * n
    return a[i < 1 ? 1 : i]
}
function row(f, c, y, name, colour,   i) {
    sorted(f, c)
    printf "<text x=\"140\" y=\"%d\" text-anchor=\"end\">%s</text>\n", y + 4,
        name
    for (i = 1; i <= n; i++) {
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"%s\" " \
            "fill-opacity=\"0.5\"/>\n", x(a[i]), y + (i * 7) % 9 - 4, colour
    }
    printf "<path d=\"M%.1f %dv18M%.1f %dv18\" stroke=\"black\"/>\n",
        x(q(0.5)), y - 9, x(q(0.99)), y - 9
    printf "<text x=\"860\" y=\"%d\">%d / %d</text>\n", y + 4, q(0.5), q(0.99)
}
{
    if (!($1 in cnt)) {
        order[++faults] = $1
    }
    i = ++cnt[$1]
    gap[$1, 1, i] = $3
    gap[$1, 2, i] = $4
}
END {
    h = 60 + faults * 60
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" " \
        "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", h + 20
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    printf "<text x=\"10\" y=\"18\">Longest gap between two replies " \
        "of a writer, ms; one dot a run (commit %s)</text>\n", title
    print "<text x=\"860\" y=\"36\">p50 / p99</text>"
    for (ms = 0; ms <= 1000; ms += 100) {
        printf "<path d=\"M%.1f 40V%d\" stroke=\"#ccc\"/>\n", x(ms), h
        printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
            x(ms), h + 15, ms == 1000 ? "1000+" : ms
    }
    for (k = 1; k <= faults; k++) {
        row(order[k], 1, k * 60, order[k], "#c03020")
        row(order[k], 2, k * 60 + 26, "when it ends", "#2060c0")
    }
    print "</svg>"
}
