/* powercut SEED DIR LOG: what a loss of power would have done to DIR, the
 * data directory of a node that is dead, by the undo log LOG (undo.h).
 *
 * By SEED, of all that no sync had made durable: everything is taken back,
 * or each 512-byte sector with a chance of a half or an eighth, or all after
 * some moment. Of the names (new, renamed, removed files) of each directory
 * everything after some moment is taken back. Prints one line:
 *
 *   steps N, not safe P, taken back R
 *
 * Exit 0; 2 usage; 3 the log proves nothing: it has no write at all, or a
 * call that undo.so does not follow; 1 anything else. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/fault/undo.h"

enum { FILES_MAX = 4096, WALK_FDS = 16 };

enum chance { ALL, HALF, EIGHTH, AFTER };

/* A step that may be taken back. */
struct step {
    uint32_t kind; /* 0: safe by now */
    uint64_t seq;  /* place in the log */
    uint64_t ino;
    uint64_t off, end; /* sector, or [off, end) that did not exist */
    uint64_t size;     /* EXTEND: the file's size before */
    uint64_t file;     /* CREATE: its inode */
    const char *data;
};

struct steps {
    struct step *v;
    size_t n, cap;
};

struct found {
    uint64_t ino;
    char *path;
};

static struct steps content, names;
static struct found files[FILES_MAX];
static size_t files_n;
static uint64_t seq, wrote, taken;
static enum chance chance;
static uint64_t after;
static struct rng rng;

static struct step *add(struct steps *s)
{
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 1024 : 2 * s->cap;
        s->v = realloc(s->v, s->cap * sizeof *s->v);
        if (s->v == NULL) {
            perror("powercut");
            exit(1);
        }
    }
    memset(&s->v[s->n], 0, sizeof *s->v);
    s->v[s->n].seq = seq;
    return &s->v[s->n++];
}

/* ---- reading the log ---- */

/* Forget what is safe, so that a long log is read in one go. */
static void compact(struct steps *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].kind != 0) {
            s->v[n++] = s->v[i];
        }
    }
    s->n = n;
}

static void all_safe(struct steps *s, uint64_t ino)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].ino == ino) {
            s->v[i].kind = 0;
        }
    }
    compact(s);
}

/* [off, end) of file @ino is safe, and with it that the file is so long. */
static void range_safe(uint64_t ino, uint64_t off, uint64_t end)
{
    size_t n = content.n;

    for (size_t i = 0; i < n; i++) {
        struct step *s = &content.v[i];

        if (s->ino != ino) {
            continue;
        }
        if (s->kind == UNDO_SECTOR) {
            if (s->end > off && s->off < end) {
                s->kind = 0;
            }
            continue;
        }
        s->size = s->size < end ? end : s->size;
        if (s->end <= off || s->off >= end) {
            continue;
        }
        if (s->off < off && s->end > end) {
            struct step rest = *s;

            rest.off = end;
            s->end = off;
            *add(&content) = rest; /* moves s */
        } else if (s->off < off) {
            s->end = off;
        } else if (s->end > end) {
            s->off = end;
        } else {
            s->kind = 0;
        }
    }
    compact(&content);
}

static void take_record(const struct undo_record *r, const char *data)
{
    struct step *s;

    switch (r->kind) {
        case UNDO_SECTOR:
        case UNDO_EXTEND:
            s = add(&content);
            s->kind = r->kind;
            s->ino = r->ino;
            s->off = s->size = r->off;
            s->end = r->kind == UNDO_EXTEND ? r->a : r->off + r->len;
            s->data = data;
            wrote++;
            break;
        case UNDO_DURABLE:
            range_safe(r->ino, r->off, r->off + r->a);
            break;
        case UNDO_SYNC:
            all_safe(&content, r->ino);
            all_safe(&names, r->ino);
            break;
        case UNDO_UNMODELLED:
            fprintf(stderr, "powercut: the node called %s\n", data);
            exit(3);
        default:
            s = add(&names);
            s->kind = r->kind;
            s->ino = r->ino;
            s->file = r->a;
            s->data = data;
            break;
    }
}

static char *read_file(const char *path, size_t *n)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *p;
    size_t got = 0;

    if (fd < 0 || fstat(fd, &st) != 0) {
        perror(path);
        exit(1);
    }
    p = malloc((size_t)st.st_size + 1);
    while (p != NULL && got < (size_t)st.st_size) {
        ssize_t k = read(fd, p + got, (size_t)st.st_size - got);

        if (k <= 0) {
            break;
        }
        got += (size_t)k;
    }
    close(fd);
    *n = got;
    return p;
}

static void read_log(const char *path)
{
    size_t n;
    size_t at = 0;
    const char *p = read_file(path, &n);

    while (p != NULL && n - at >= sizeof(struct undo_record)) {
        struct undo_record r;

        memcpy(&r, p + at, sizeof r);
        at += sizeof r;
        if (r.len > n - at) {
            break; /* the node died here */
        }
        take_record(&r, p + at);
        at += r.len;
        seq++;
    }
}

/* ---- taking back ---- */

static bool taken_back(const struct step *s)
{
    switch (chance) {
        case ALL:
            return true;
        case HALF:
            return rng_below(&rng, 2) == 0;
        case EIGHTH:
            return rng_below(&rng, 8) == 0;
        case AFTER:
            break;
    }
    return s->seq >= after;
}

static const char *next_name(const char *name)
{
    return name + strlen(name) + 1;
}

static void undo_name(const struct step *s)
{
    const char *a = s->data;
    const char *b;
    struct stat st;

    taken++;
    switch (s->kind) {
        case UNDO_CREATE:
            if (lstat(a, &st) == 0 && st.st_ino == s->file) {
                unlink(a);
            }
            break;
        case UNDO_MKDIR:
            rmdir(a); /* not if something in it is safe */
            break;
        case UNDO_RENAME:
            b = next_name(a);
            if (rename(b, a) == 0 && *next_name(b) != '\0') {
                link(next_name(b), b);
            }
            break;
        case UNDO_UNLINK:
            link(next_name(a), a);
            break;
        default:
            abort();
    }
}

/* Of each directory the latest steps, so many as the seed says. */
static void undo_names(void)
{
    for (size_t i = names.n; i-- > 0;) {
        struct step *s = &names.v[i];
        bool kept = false;

        /* What is older than a step that stays, stays. */
        for (size_t k = i + 1; k < names.n && !kept; k++) {
            kept = names.v[k].ino == s->ino && names.v[k].kind == 0;
        }
        if (!kept &&
            (chance == ALL || chance == AFTER ? taken_back(s)
                                              : rng_below(&rng, 4) != 0)) {
            undo_name(s);
        } else {
            s->kind = 0;
        }
    }
}

static int walk(const char *path,
                const struct stat *st,
                int type,
                struct FTW *f)
{
    (void)f;
    if (type == FTW_F && files_n < FILES_MAX) {
        files[files_n].ino = (uint64_t)st->st_ino;
        files[files_n++].path = strdup(path);
    }
    return 0;
}

static int open_ino(uint64_t ino)
{
    for (size_t i = 0; i < files_n; i++) {
        if (files[i].ino == ino) {
            return open(files[i].path, O_WRONLY | O_CLOEXEC);
        }
    }
    return -1;
}

static void undo_extend(int fd, const struct step *s)
{
    static const char zero[UNDO_SECTOR_BYTES];

    for (uint64_t at = s->off; at < s->end; at += UNDO_SECTOR_BYTES) {
        uint64_t n = s->end - at;

        if (taken_back(s)) {
            n = n < sizeof zero ? n : sizeof zero;
            taken += pwrite(fd, zero, n, (off_t)at) == (ssize_t)n;
        }
    }
    if (taken_back(s) && ftruncate(fd, (off_t)s->size) != 0) {
        perror("powercut: ftruncate");
        exit(1);
    }
}

/* Latest first: of several writes to one sector the oldest that is taken
 * back decides. */
static void undo_content(void)
{
    uint64_t ino = 0;
    int fd = -1;

    for (size_t i = content.n; i-- > 0;) {
        struct step *s = &content.v[i];

        if (s->ino != ino || fd < 0) {
            if (fd >= 0) {
                close(fd);
            }
            ino = s->ino;
            fd = open_ino(ino);
        }
        if (fd < 0) {
            continue; /* its name is gone */
        }
        if (s->kind == UNDO_EXTEND) {
            undo_extend(fd, s);
        } else if (taken_back(s)) {
            taken += pwrite(fd, s->data, UNDO_SECTOR_BYTES, (off_t)s->off) ==
                     UNDO_SECTOR_BYTES;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: powercut SEED DIR LOG\n");
        return 2;
    }
    rng.s = strtoull(argv[1], NULL, 10);
    read_log(argv[3]);
    if (wrote == 0) {
        fprintf(stderr, "powercut: no write was seen\n");
        return 3;
    }
    chance = (enum chance)rng_below(&rng, 4);
    after = content.n > 0 ? content.v[rng_below(&rng, content.n)].seq : 0;
    undo_names();
    if (nftw(argv[2], walk, WALK_FDS, FTW_PHYS) != 0) {
        perror(argv[2]);
        return 1;
    }
    undo_content();
    printf("steps %llu, not safe %zu, taken back %llu\n",
           (unsigned long long)seq, content.n + names.n,
           (unsigned long long)taken);
    return 0;
}
