# Real clusters under faults (jepsen-lite/HISTORY.md); installed nowhere. One
# block a program.
EXTRA_DIST += jepsen-lite/HISTORY.md

# holdfast-nemesis: faults

# holdfast-load: clients

# holdfast-check: the judge
