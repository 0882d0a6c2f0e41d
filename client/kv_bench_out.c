/* kv bench: progress, table, JSON. */
#include <inttypes.h>
#include <stdio.h>

#include "client/kv_bench_int.h"

static const struct {
    const char *title;
    const char *name;
    uint32_t ppm;
} percentiles[] = {{"p50", "p50_us", 500000},
                   {"p90", "p90_us", 900000},
                   {"p99", "p99_us", 990000},
                   {"p99.9", "p999_us", 999000}};

enum { PERCENTILES = sizeof(percentiles) / sizeof(percentiles[0]) };

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

void bench_progress(const struct bench_second *s, int64_t at_s, uint64_t due)
{
    fprintf(stderr,
            "%4" PRId64 " s %9" PRIu64 "/s   p50 %.3f   p99 %.3f   max %.3f ms",
            at_s, s->answers, ms(s->p50_us), ms(s->p99_us), ms(s->max_us));
    if (due > 0) {
        fprintf(stderr, "   %" PRIu64 " behind", due);
    }
    if (s->errors > 0) {
        fprintf(stderr, "   %" PRIu64 " errors", s->errors);
    }
    fputc('\n', stderr);
}

static double per_second(const struct bench_result *r)
{
    return r->measured_ns > 0
               ? (double)r->answers * 1e9 / (double)r->measured_ns
               : 0;
}

static uint64_t answered(const struct bench_result *r)
{
    return r->reads.latency.n + r->writes.latency.n;
}

/* ---- table ---- */

static void print_load(const struct bench_config *cfg)
{
    if (cfg->spread) {
        printf("%-12s%zu nodes in turn", "target", cfg->nnodes);
    } else {
        printf("%-12s%s", "target", cfg->nodes[cfg->first].addr);
    }
    printf("\n%-12s%zu connections, ", "load", cfg->connections);
    if (cfg->idle > 0) {
        printf("%zu idle ones, ", cfg->idle);
    }
    if (cfg->rate > 0) {
        printf("%" PRIu64 " requests/s, at most %zu in flight each\n",
               cfg->rate, cfg->pipeline);
    } else {
        printf("%zu in flight each\n", cfg->pipeline);
    }
    printf("%-12s%u %% %sreads, %" PRIu64
           " keys of %zu bytes (%s), values of %zu bytes\n",
           "", cfg->reads, cfg->login->stale ? "stale " : "", cfg->keys,
           cfg->key_size, cfg->zipf ? "zipf" : "uniform", cfg->value_size);
}

static void print_side(const char *name, const struct hist *h)
{
    printf("%-12s%10" PRIu64, name, h->n);
    for (size_t i = 0; i < PERCENTILES; i++) {
        printf("%10.3f", ms(hist_percentile(h, percentiles[i].ppm)));
    }
    printf("%10.3f\n", ms(h->max_us));
}

static void print_sides(const struct bench_result *r)
{
    printf("\n%-12s%10s", "LATENCY ms", "COUNT");
    for (size_t i = 0; i < PERCENTILES; i++) {
        printf("%10s", percentiles[i].title);
    }
    printf("%10s\n", "max");
    if (r->reads.latency.n > 0) {
        print_side("reads", &r->reads.latency);
    }
    if (r->writes.latency.n > 0) {
        print_side("writes", &r->writes.latency);
    }
    if (r->reads.misses > 0) {
        printf("%-12s%10" PRIu64 " reads found no value (see --fill)\n", "",
               r->reads.misses);
    }
}

static void print_table(const struct bench_config *cfg,
                        const struct bench_result *r)
{
    print_load(cfg);
    printf("%-12s%.1f s%s\n", "measured", (double)r->measured_ns / 1e9,
           r->interrupted ? ", interrupted" : "");
    printf("%-12s%" PRIu64 " answered, %" PRIu64 " failed\n", "requests",
           answered(r), r->failed);
    printf("%-12s%.0f/s\n", "throughput", per_second(r));
    if (cfg->rate > 0) {
        printf("%-12sp99 %.3f ms, at most %.3f ms and %" PRIu64 " requests\n",
               "sent late", ms(hist_percentile(&r->late, 990000)),
               ms(r->late.max_us), r->behind_max);
    }
    printf("%-12s%.0f %% of a core\n", "this load",
           r->wall_s > 0 ? 100 * r->cpu_s / r->wall_s : 0);
    print_sides(r);
    if (r->redials > 0) {
        printf("\n%-12s%" PRIu64 "\n", "reconnects", r->redials);
    }
    printf("%s", r->nerrors > 0 ? "\nERRORS\n" : "");
    for (size_t i = 0; i < r->nerrors; i++) {
        printf("%-12s%10" PRIu64 "  ", r->errors[i].word, r->errors[i].count);
        kv_print_safe(r->errors[i].text, strlen(r->errors[i].text));
        putchar('\n');
    }
}

/* ---- JSON ---- */

static void json_string(const char *s)
{
    kv_print_json(s, strlen(s));
}

static void json_hist(const struct hist *h)
{
    bool first = true;

    printf("\"count\":%" PRIu64 ",\"mean_us\":%.1f", h->n, hist_mean_us(h));
    for (size_t i = 0; i < PERCENTILES; i++) {
        printf(",\"%s\":%" PRIu64, percentiles[i].name,
               hist_percentile(h, percentiles[i].ppm));
    }
    printf(",\"max_us\":%" PRIu64 ",\"histogram\":[", h->max_us);
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        if (h->counts[i] > 0) {
            printf("%s[%" PRIu64 ",%" PRIu64 "]", first ? "" : ",",
                   hist_bucket_top_us(i), h->counts[i]);
            first = false;
        }
    }
    putchar(']');
}

static void json_load(const struct bench_config *cfg)
{
    printf("\"load\":{\"target\":");
    json_string(cfg->spread ? "spread" : cfg->nodes[cfg->first].addr);
    printf(
        ",\"connections\":%zu,\"idle\":%zu,\"pipeline\":%zu,\"rate\":%" PRIu64
        ",\"duration_s\":%.3f,\"requests\":%" PRIu64 ",\"warmup_s\":%.3f",
        cfg->connections, cfg->idle, cfg->pipeline, cfg->rate,
        (double)cfg->duration_ns / 1e9, cfg->requests,
        (double)cfg->warmup_ns / 1e9);
    printf(",\"reads\":%u,\"stale\":%s,\"keys\":%" PRIu64
           ",\"distribution\":\"%s\",\"key_size\":%zu,\"value_size\":%zu"
           ",\"seed\":%" PRIu64 "}",
           cfg->reads, cfg->login->stale ? "true" : "false", cfg->keys,
           cfg->zipf ? "zipf" : "uniform", cfg->key_size, cfg->value_size,
           cfg->seed);
}

static void json_lists(const struct bench_config *cfg,
                       const struct bench_result *r)
{
    printf(",\"nodes\":[");
    for (size_t i = 0; i < cfg->nnodes; i++) {
        printf("%s{\"address\":", i == 0 ? "" : ",");
        json_string(cfg->nodes[i].addr);
        printf(",\"requests\":%" PRIu64 "}", cfg->nodes[i].requests);
    }
    printf("],\"errors\":[");
    for (size_t i = 0; i < r->nerrors; i++) {
        printf("%s{\"kind\":", i == 0 ? "" : ",");
        json_string(r->errors[i].word);
        printf(",\"count\":%" PRIu64 ",\"text\":", r->errors[i].count);
        json_string(r->errors[i].text);
        putchar('}');
    }
    printf("],\"seconds\":[");
    for (size_t i = 0; i < r->nseconds; i++) {
        const struct bench_second *s = &r->seconds[i];

        printf("%s{\"answers\":%" PRIu64 ",\"errors\":%" PRIu64
               ",\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64
               ",\"max_us\":%" PRIu64 "}",
               i == 0 ? "" : ",", s->answers, s->errors, s->p50_us, s->p99_us,
               s->max_us);
    }
    putchar(']');
}

static void print_json(const struct bench_config *cfg,
                       const struct bench_result *r)
{
    putchar('{');
    json_load(cfg);
    printf(",\"measured_s\":%.6f,\"interrupted\":%s,\"requests\":%" PRIu64
           ",\"failed\":%" PRIu64 ",\"unknown\":%" PRIu64
           ",\"connection_errors\":%" PRIu64 ",\"reconnects\":%" PRIu64
           ",\"throughput\":%.1f,\"cpu\":%.3f",
           (double)r->measured_ns / 1e9, r->interrupted ? "true" : "false",
           answered(r), r->failed, r->unknown, r->troubles, r->redials,
           per_second(r), r->wall_s > 0 ? r->cpu_s / r->wall_s : 0);
    printf(",\"reads\":{\"misses\":%" PRIu64 ",", r->reads.misses);
    json_hist(&r->reads.latency);
    printf("},\"writes\":{");
    json_hist(&r->writes.latency);
    printf("},\"late\":{\"requests_max\":%" PRIu64 ",", r->behind_max);
    json_hist(&r->late);
    putchar('}');
    json_lists(cfg, r);
    printf("}\n");
}

void bench_print(const struct kv *kv,
                 const struct bench_config *cfg,
                 const struct bench_result *r)
{
    if (kv->output == KV_JSON) {
        print_json(cfg, r);
    } else {
        print_table(cfg, r);
    }
}
