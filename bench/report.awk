# The rows' values ("ROW PEER METRIC ROUND VALUE", "# WORD ..." about a row) as
#   -v form=md    the tables of docs/BENCHMARKS.md
#   -v form=text  what is wanted, beside what was measured
#   -v form=json  all of it
#   -v form=load  "PEER OFFERED ANSWERED P99" of the row load
# -v targets=FILE (bench/targets), -v machine=FILE ("NAME=WORDS" a line).
FNR == 1 { file = FILENAME; sub(".*/", "", file); rows[++rows_n] = file }
/^#/ {
    about[file, $2] = substr($0, length($2) + 4)
    next
}
{
    key = $1 SUBSEP $2 SUBSEP $3
    if (!(key in n)) {
        if (!(($1, $2) in seen)) {
            seen[$1, $2] = 1
            peers[$1, ++peers_n[$1]] = $2
        }
        metrics[$1, $2, ++metrics_n[$1, $2]] = $3
    }
    value[key, ++n[key]] = $5
    by_round[key, $4] = $5
    if ($4 > rounds) { rounds = $4 }
}

# Leaves lo, mid, hi; false when there is nothing.
function spread(key,   i, k, v, a) {
    lo = mid = hi = ""
    if (!(key in n)) { return 0 }
    for (i = 1; i <= n[key]; i++) {
        v = value[key, i] + 0
        for (k = i - 1; k >= 1 && a[k] > v; k--) { a[k + 1] = a[k] }
        a[k + 1] = v
    }
    lo = a[1]; hi = a[n[key]]
    i = n[key]
    mid = i % 2 ? a[(i + 1) / 2] : (a[i / 2] + a[i / 2 + 1]) / 2
    return 1
}
function key_of(words,   w) {
    split(words, w, " ")
    return w[1] SUBSEP w[2] SUBSEP w[3]
}
function num(v) {
    if (v == "") { return "-" }
    v += 0
    return v >= 100 ? sprintf("%.0f", v) : v >= 10 ? sprintf("%.1f", v) : \
        v >= 1 ? sprintf("%.2f", v) : sprintf("%.3f", v)
}
function figure(row, peer, metric) {
    if (!spread(row SUBSEP peer SUBSEP metric)) { return "-" }
    return num(mid) (n[row, peer, metric] > 1 ? \
        " (" num(lo) "-" num(hi) ")" : "")
}
function median(row, peer, metric) {
    return spread(row SUBSEP peer SUBSEP metric) ? num(mid) : "-"
}

# ---- targets ----

# The ratio of the medians; the spread is that of the rounds' own ratios.
function ratio(a, b,   r, q, from, first, m) {
    if (!spread(key_of(a))) { return 0 }
    m = mid
    if (b ~ /^[0-9.]+$/) {
        r_lo = lo / b; r_hi = hi / b; r_mid = m / b
        return 1
    }
    if (!spread(key_of(b)) || mid == 0) { return 0 }
    r_mid = m / mid
    r_lo = r_hi = r_mid
    for (r = 1; r <= rounds; r++) {
        if ((key_of(a), r) in by_round && (key_of(b), r) in by_round &&
            by_round[key_of(b), r] > 0) {
            q = by_round[key_of(a), r] / by_round[key_of(b), r]
            if (q < r_lo) { r_lo = q }
            if (q > r_hi) { r_hi = q }
        }
    }
    return 1
}
function verdict(way, must, goal) {
    if (way == "more" ? r_mid >= must : r_mid <= must) {
        return goal == "" || r_mid < goal ? "met" : "met, goal too"
    }
    return "**MISSED**"
}
function show_targets(   line, f, shown) {
    if (form == "json") { printf "  \"targets\": [" }
    while ((getline line <targets) > 0) {
        if (line ~ /^#/ || split(line, f, "|") < 7) { continue }
        if (!ratio(f[3], f[4])) {
            if (form == "json") { continue }
            r_mid = ""
        }
        if (form == "json") {
            printf "%s\n    {\"aim\": %s, \"what\": \"%s\", \"value\": %.6g, " \
                "\"min\": %.6g, \"max\": %.6g, \"way\": \"%s\", " \
                "\"limit\": %s, \"met\": %s}", shown++ ? "," : "", f[1], f[2],
                r_mid, r_lo, r_hi, f[5] == "more" ? "at least" : "at most",
                f[6], verdict(f[5], f[6], f[7]) ~ /^met/ ? "true" : "false"
        } else if (form == "md") {
            printf "| %s | %s | %s %s%s | %s | %s |\n", f[1], f[2],
                f[5] == "more" ? "at least" : "at most", f[6],
                f[7] == "" ? "" : " (goal " f[7] ")",
                r_mid == "" ? "not measured" : num(r_mid) " (" num(r_lo) \
                    "-" num(r_hi) ")",
                r_mid == "" ? "" : verdict(f[5], f[6], f[7])
        } else if (r_mid != "") {
            printf "%s  %-68s %8s  %-15s %s %s%s  %s\n", f[1], f[2],
                num(r_mid), num(r_lo) ".." num(r_hi),
                f[5] == "more" ? ">=" : "<=", f[6],
                f[7] == "" ? "" : "(" f[7] ")", verdict(f[5], f[6], f[7])
        }
    }
    close(targets)
    if (form == "json") { print "\n  ]" }
}

# ---- json ----
function json(   i, k, m, row, peer, metric, r, line, first, shown) {
    printf "{\n  \"machine\": {"
    while ((getline line <machine) > 0) {
        k = index(line, "=")
        r = substr(line, k + 1)
        gsub(/["\\]/, "", r)
        printf "%s\n    \"%s\": \"%s\"", first++ ? "," : "",
            substr(line, 1, k - 1), r
    }
    printf "\n  },\n  \"rows\": {"
    for (i = 1; i <= rows_n; i++) {
        row = rows[i]
        printf "%s\n    \"%s\": {\"date\": \"%s\", \"commit\": \"%s\", " \
            "\"rounds\": \"%s\", \"load\": \"%s\", \"peers\": {",
            (i > 1 ? "," : ""), row, about[row, "date"], about[row, "commit"],
            about[row, "rounds"], about[row, "load"]
        for (k = 1; k <= peers_n[row]; k++) {
            peer = peers[row, k]
            printf "%s\n      \"%s\": {", (k > 1 ? "," : ""), peer
            for (m = 1; m <= metrics_n[row, peer]; m++) {
                metric = metrics[row, peer, m]
                spread(row SUBSEP peer SUBSEP metric)
                printf "%s\n        \"%s\": {\"median\": %.10g, \"min\": " \
                    "%.10g, \"max\": %.10g, \"values\": [", (m > 1 ? "," : ""),
                    metric, mid, lo, hi
                for (r = 1; r <= n[row, peer, metric]; r++) {
                    printf "%s%.10g", (r > 1 ? ", " : ""),
                        value[row, peer, metric, r]
                }
                printf "]}"
            }
            printf "\n      }"
        }
        printf "\n    }}"
    }
    print "\n  },"
    show_targets()
    print "}"
}

# ---- the page ----
function heading(words) { printf "\n### %s\n\n", words }
function has(row) { return peers_n[row] > 0 }

function page_machine(   line, k, i) {
    while ((getline line <machine) > 0) {
        k = index(line, "=")
        printf "* %s: %s\n", substr(line, 1, k - 1), substr(line, k + 1)
    }
    print "\n| row | day (UTC) | commit | rounds | load before |"
    print "|---|---|---|---|---|"
    for (i = 1; i <= rows_n; i++) {
        printf "| %s | %s | %s | %s | %s |\n", rows[i],
            about[rows[i], "date"], about[rows[i], "commit"],
            about[rows[i], "rounds"], about[rows[i], "load"]
    }
}
function page_closed(   list, i, k, row, p) {
    heading("Closed loops")
    print "Latencies in ms. With `-P 16` one latency is that of 16 requests.\n"
    print "| load | of | requests/s | p50 | p99 | p99.9 |"
    print "|---|---|---|---|---|---|"
    k = split("set64 set64p16 get64 get64p16 set64x4k get64x4k set1 get1",
        list, " ")
    for (i = 1; i <= k; i++) {
        row = list[i]
        for (p = 1; p <= peers_n[row]; p++) {
            printf "| %s | %s | %s | %s | %s | %s |\n", row, peers[row, p],
                figure(row, peers[row, p], "rps"),
                figure(row, peers[row, p], "p50"),
                figure(row, peers[row, p], "p99"),
                median(row, peers[row, p], "p999")
        }
    }
}
function page_cpu(   list, i, k, row, p, peer) {
    heading("Processor time of a request (user and system), microseconds")
    print "| load | of | leader or only server | a follower |"
    print "|---|---|---|---|"
    k = split("set64 set64p16 get64 get64p16", list, " ")
    for (i = 1; i <= k; i++) {
        row = list[i]
        for (p = 1; p <= peers_n[row]; p++) {
            peer = peers[row, p]
            printf "| %s | %s | %s | %s |\n", row, peer,
                figure(row, peer, "cpu_leader"),
                figure(row, peer, "cpu_follower")
        }
    }
}
function page_floor(   list, i, k) {
    if (!has("floor")) { return }
    heading("Floors, microseconds")
    print "| | p50 | p99 |\n|---|---|---|"
    k = split("disk rtt majority read", list, " ")
    for (i = 1; i <= k; i++) {
        printf "| %s | %s | %s |\n", list[i],
            figure("floor", "floor", list[i] "_p50_us"),
            figure("floor", "floor", list[i] "_p99_us")
    }
}
# Any row whose metrics are its own: one line a metric, a column a peer.
function page_any(row, words,   p, m, list, count, metric, seen_m) {
    if (!has(row)) { return }
    heading(words)
    printf "| |"
    for (p = 1; p <= peers_n[row]; p++) { printf " %s |", peers[row, p] }
    printf "\n|---|"
    for (p = 1; p <= peers_n[row]; p++) { printf "---|" }
    print ""
    count = 0
    for (p = 1; p <= peers_n[row]; p++) {
        for (m = 1; m <= metrics_n[row, peers[row, p]]; m++) {
            metric = metrics[row, peers[row, p], m]
            if (!((row, metric) in seen_metric)) {
                seen_metric[row, metric] = 1
                list[++count] = metric
            }
        }
    }
    for (m = 1; m <= count; m++) {
        printf "| %s |", list[m]
        for (p = 1; p <= peers_n[row]; p++) {
            printf " %s |", figure(row, peers[row, p], list[m])
        }
        print ""
    }
}
# Every load in which somebody else answers more, or sooner.
function page_lost(   i, p, row, peer, own, k, list, what, shown) {
    heading("Where it loses")
    k = split("set64 set64p16 get64 get64p16 set64x4k get64x4k set1 get1",
        list, " ")
    for (i = 1; i <= k; i++) {
        row = list[i]
        for (p = 1; p <= peers_n[row]; p++) {
            peer = peers[row, p]
            if (peer == "holdfast" ||
                !ratio(row " " peer " rps", row " holdfast rps") ||
                r_mid <= 1) {
                continue
            }
            printf "* %s: %s answers %s times as many\n", row, peer, num(r_mid)
            shown++
        }
    }
    if (!shown) { print "In none of these loads." }
}
function page() {
    page_machine()
    heading("Beside what was aimed at")
    print "Ratios of medians; in brackets those of single rounds.\n"
    print "| aim | what | wanted | measured | |\n|---|---|---|---|---|"
    show_targets()
    page_lost()
    page_floor()
    page_closed()
    page_cpu()
    page_any("stale", "GET on the leader and, stale, on a follower (kv bench)")
    page_any("open", "Open loop at half of the own peak (kv bench; etcd_load)")
    page_any("conns", "Connections (of 5,000 the half is idle)")
    page_any("h2load", "etcd by h2load and by etcd_load, one key, requests/s")
    page_any("load", "Over offered load, in percent of the own peak")
    page_any("values", "Values, 16 connections, requests/s")
    page_any("catchup", "Writes while a follower catches up")
    page_any("memory", "Memory per key (16 + 100 bytes)")
    page_any("growth", "Throughput over the number of keys")
    page_any("growsnap", "Writes at half of the peak, quiet and with snapshots")
    page_any("start", "Start, milliseconds until a GET is answered")
    page_any("age", "After a day's worth of log")
}
function load_lines(   p, m, peer, metric, at) {
    for (p = 1; p <= peers_n["load"]; p++) {
        peer = peers["load", p]
        for (m = 1; m <= metrics_n["load", peer]; m++) {
            metric = metrics["load", peer, m]
            if (metric !~ /_rate$/) { continue }
            at = substr(metric, 1, length(metric) - 4)
            spread("load" SUBSEP peer SUBSEP metric)
            printf "%s %s", peer, mid
            spread("load" SUBSEP peer SUBSEP at "rps")
            printf " %s", mid
            spread("load" SUBSEP peer SUBSEP at "p99")
            print "", mid
        }
    }
}
END {
    if (form == "json") {
        json()
    } else if (form == "md") {
        page()
    } else if (form == "load") {
        load_lines()
    } else {
        show_targets()
    }
}
