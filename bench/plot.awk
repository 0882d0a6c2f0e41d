# Lines in a box: "SERIES X Y" lines in, an SVG out (with scripts/svg.awk).
# -v title, xname, yname; ylog=1: decades up; percent=1: x is a percentile, and
# each step to the right is a tenth of what is left of the values.
function log10(v) { return log(v) / log(10) }
function px(v) {
    if (percent) {
        v = 100 - v
        v = 2 - log10(v < 0.001 ? 0.001 : v)
        return left + (right - left) * v / 5
    }
    return left + (right - left) * v / xmax
}
function py(v) {
    if (ylog) {
        v = v < ylow ? ylow : v
        return bottom - (bottom - top) * log10(v / ylow) / log10(ymax / ylow)
    }
    return bottom - (bottom - top) * v / ymax
}
function floor(v) { return v < 0 && v != int(v) ? int(v) - 1 : int(v) }
# A round step for about five lines up to max.
function step(max,   s) {
    s = 10 ^ floor(log10(max))
    return max / s < 2 ? s / 5 : max / s < 5 ? s / 2 : s
}
function short(v) {
    return v >= 10000 ? sprintf("%gk", v / 1000) : sprintf("%g", v)
}
{
    if (!($1 in number)) {
        number[$1] = ++series
        name[series] = $1
    }
    k = number[$1]
    i = ++count[k]
    xs[k, i] = $2
    ys[k, i] = $3
    xmax = $2 > xmax ? $2 : xmax
    ymax = $3 > ymax ? $3 : ymax
    if ($3 > 0 && (ylow == "" || $3 < ylow)) { ylow = $3 }
}
END {
    left = 70; right = 700; top = 56; bottom = 420
    split("#c03020 #2060c0 #308030 #a06000 #703090 #007070 #888888", colour,
        " ")
    if (series == 0) { exit 1 }
    svg_open(900, 470, title)
    svg_text((left + right) / 2, bottom + 36, "middle", xname)
    svg_text(10, 34, "start", yname)
    if (ylog) {
        ylow = 10 ^ floor(log10(ylow))
        ymax = 10 ^ (floor(log10(ymax) - 0.000001) + 1)
        for (v = ylow; v <= ymax * 1.001; v *= 10) {
            svg_grid_y(py(v), left, right, short(v))
        }
    } else {
        s = step(ymax)
        ymax = s * (int(ymax / s) + 1)
        for (v = 0; v <= ymax * 1.001; v += s) {
            svg_grid_y(py(v), left, right, short(v))
        }
    }
    if (percent) {
        n = split("0 90 99 99.9 99.99 99.999", ticks, " ")
        for (i = 1; i <= n; i++) {
            svg_grid_x(px(ticks[i]), top, bottom, ticks[i] " %")
        }
    } else {
        s = step(xmax)
        for (v = 0; v <= xmax; v += s) {
            svg_grid_x(px(v), top, bottom, short(v))
        }
    }
    for (k = 1; k <= series; k++) {
        printf "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" " \
            "points=\"", colour[(k - 1) % 7 + 1]
        for (i = 1; i <= count[k]; i++) {
            printf "%.1f,%.1f ", px(xs[k, i]), py(ys[k, i])
        }
        print "\"/>"
        y = top + 10 + k * 20
        printf "<path d=\"M%d %dh20\" stroke-width=\"2\" stroke=\"%s\"/>\n",
            right + 15, y - 4, colour[(k - 1) % 7 + 1]
        svg_text(right + 40, y, "start", name[k])
    }
    svg_close()
}
