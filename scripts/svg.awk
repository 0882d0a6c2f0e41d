# What the plots of scripts/failover.awk and bench/plot.awk share.
function svg_open(w, h, title) {
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" " \
        "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", w, h
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    svg_text(10, 18, "start", title)
}
function svg_text(x, y, anchor, words) {
    printf "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y,
        anchor, words
}
# A line of the grid and its number below it, or left of it.
function svg_grid_x(x, top, bottom, words) {
    printf "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#ccc\"/>\n", x, top, bottom
    svg_text(x, bottom + 15, "middle", words)
}
function svg_grid_y(y, left, right, words) {
    printf "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ccc\"/>\n", left, y, right
    svg_text(left - 6, y + 4, "end", words)
}
function svg_close() { print "</svg>" }
