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
    svg_text(140, y + 4, "end", name)
    for (i = 1; i <= n; i++) {
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"%s\" " \
            "fill-opacity=\"0.5\"/>\n", x(a[i]), y + (i * 7) % 9 - 4, colour
    }
    printf "<path d=\"M%.1f %dv18M%.1f %dv18\" stroke=\"black\"/>\n",
        x(q(0.5)), y - 9, x(q(0.99)), y - 9
    svg_text(860, y + 4, "start", q(0.5) " / " q(0.99))
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
    svg_open(960, h + 20, "Longest gap between two replies of a writer, ms;" \
        " one dot a run (commit " title ")")
    svg_text(860, 36, "start", "p50 / p99")
    for (ms = 0; ms <= 1000; ms += 100) {
        svg_grid_x(x(ms), 40, h, ms == 1000 ? "1000+" : ms)
    }
    for (k = 1; k <= faults; k++) {
        row(order[k], 1, k * 60, order[k], "#c03020")
        row(order[k], 2, k * 60 + 26, "when it ends", "#2060c0")
    }
    svg_close()
}
