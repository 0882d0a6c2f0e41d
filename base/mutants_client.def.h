/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_CLIENT_DEF_H
#define HF_BASE_MUTANTS_CLIENT_DEF_H

#define MUTANTS_CLIENT(M)                                                   \
    M(CLIENT_RENUMBERS, "a write whose answer was lost gets a new number")  \
    M(CLIENT_BELIEVES_REFUSAL,                                              \
      "a later attempt's refusal hides that an earlier one may be applied") \
    M(CLIENT_REUSES_NUMBER, "the number of a refused write is used again")  \
    M(CLIENT_FORGETS_SESSION,                                               \
      "a lost session is replaced although an attempt may be applied")      \
    M(CLIENT_RESENDS_UNNAMED, "an unnamed command is sent again")           \
    M(CLIENT_NO_BREAKER, "a silent node is tried again each time")          \
    M(CLIENT_IMPATIENT, "a living node is left before its own deadline")    \
    M(CLIENT_UV_RENUMBERS, "uv: a write on a broken link gets a new name")  \
    M(CLIENT_HIST_LOW_END,                                                  \
      "a percentile is a bucket's lower end, below what was measured")      \
    M(CLIENT_HIST_MERGE_MAX, "merged histograms lose the largest value")    \
    M(CLIENT_BENCH_OMISSION, "latency counts from when it was sent")        \
    M(CLIENT_BENCH_DRIFT, "the pause between requests is whole ms")         \
    M(CLIENT_BENCH_WARMUP, "the warm-up is measured")                       \
    M(CLIENT_BENCH_STATUS, "a load that failed ends with status 0")         \
    M(LOG_UNESCAPED, "a quote in a log line ends its JSON string")          \
    M(RESP_LIMIT_IGNORED, "a request over the limit is waited for")         \
    M(RESP_ERROR_UNCUT, "the text of an error can end its line")

#endif
