/* nemesis.jsonl, and commands of the system. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "jepsen-lite/nemesis.h"

static FILE *out;
static pthread_mutex_t out_lock = PTHREAD_MUTEX_INITIALIZER;

int out_open(void)
{
    char path[NEM_PATH + 16];

    snprintf(path, sizeof path, "%s/nemesis.jsonl", nem.dir);
    out = fopen(path, "we");
    if (out == NULL) {
        perror(path);
        return -1;
    }
    return 0;
}

/* One line: {"t":now,"p":"nemesis", and the rest. */
void out_line(const char *fmt, ...)
{
    va_list ap;

    pthread_mutex_lock(&out_lock);
    fprintf(out, "{\"t\":%lld,\"p\":\"nemesis\",", (long long)now_ns());
    va_start(ap, fmt);
    vfprintf(out, fmt, ap);
    va_end(ap);
    fputs("}\n", out);
    fflush(out);
    pthread_mutex_unlock(&out_lock);
}

void out_leader(int node, uint64_t term)
{
    out_line("\"type\":\"leader\",\"node\":%d,\"term\":%llu", node,
             (unsigned long long)term);
}

void out_died(int node, const char *how)
{
    out_line("\"type\":\"died\",\"node\":%d,\"text\":\"%s\"", node, how);
}

void fault_begin(struct fault *f, const char *fmt, ...)
{
    char text[NEM_TEXT], nodes[64] = "";
    size_t n = 0;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (int i = 0; i < f->nodes_n; i++) {
        n += (size_t)snprintf(nodes + n, sizeof nodes - n, "%s%d",
                              i == 0 ? "" : ",", f->nodes[i]);
    }
    out_line(
        "\"type\":\"start\",\"family\":\"%s\",\"f\":\"%s\",\"nodes\":[%s],"
        "\"text\":\"%s\",\"n\":%u",
        f->kind->family, f->kind->f, nodes, text, f->n);
    f->began = true;
}

void fault_proof(struct fault *f, const char *fmt, ...)
{
    size_t n = strlen(f->proof);
    va_list ap;

    if (n > 0 && n + 1 < sizeof f->proof) {
        f->proof[n++] = ',';
    }
    va_start(ap, fmt);
    vsnprintf(f->proof + n, sizeof f->proof - n, fmt, ap);
    va_end(ap);
}

void out_stop(const struct fault *f)
{
    out_line(
        "\"type\":\"stop\",\"f\":\"%s\",\"n\":%u,\"proof\":{%s},"
        "\"bit\":%s",
        f->kind->f, f->n, f->proof, f->bit ? "true" : "false");
}

int run(char *text, size_t cap, const char *fmt, ...)
{
    char command[4 * NEM_PATH], rest[256];
    size_t n = 0;
    va_list ap;
    FILE *p;
    int rv;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    p = popen(command, "re");
    if (p == NULL) {
        return -1;
    }
    if (cap > 0) {
        n = fread(text, 1, cap - 1, p);
        text[n] = '\0';
    }
    while (fread(rest, 1, sizeof rest, p) > 0) {
    }
    rv = pclose(p);
    return WIFEXITED(rv) ? WEXITSTATUS(rv) : -1;
}
