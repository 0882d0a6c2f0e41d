#include "server/node/peers_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "server/node/node_int.h"

struct peers_job {
    struct env_work work;
    struct node *node;
    struct disk *disk;
    struct buf bytes;
    int status;
};

static const char file_name[] = "peers";
static const char temp_name[] = "peers.tmp";

static void peers_write(struct env_work *w)
{
    struct peers_job *j = w->data;
    struct disk_file *f;

    j->status = disk_open(j->disk, temp_name,
                          DISK_WRITE | DISK_CREATE | DISK_TRUNC, &f);
    if (j->status != 0) {
        return;
    }
    j->status = disk_pwrite(f, j->bytes.p, j->bytes.n, 0);
    if (j->status == 0) {
        j->status = disk_sync(f);
    }
    disk_close(f);
    if (j->status == 0) {
        j->status = disk_rename(j->disk, temp_name, file_name);
    }
    if (j->status == 0) {
        j->status = disk_sync_dir(j->disk, "");
    }
}

static void job_free(struct peers_job *j)
{
    buf_release(&j->bytes);
    free(j);
}

static void peers_written(struct env_work *w)
{
    struct peers_job *j = w->data;
    struct node *n = j->node;

    n->peers_job = NULL;
    if (j->status != 0) {
        log_warn(n->log, "write the peers file: %s",
                 hf_strerror(hf_err_from_errno(-j->status)));
    }
    if (n->peers_dirty && !n->ended) {
        n->peers_dirty = false;
        n->members_dirty = true;
        env_defer(n->env, &n->changed_task);
    }
    job_free(j);
}

void peers_file_encode(struct buf *b, const struct peer_member *m, unsigned k)
{
    size_t at = b->n;

    buf_u32(b, 0); /* checksum of what follows */
    buf_u32(b, PEERS_FILE_VERSION);
    buf_u32(b, k);
    for (unsigned i = 0; i < k; i++) {
        buf_u64(b, m[i].id);
        buf_append(b, m[i].dir_id, PEER_ID_BYTES);
        buf_lbytes(b, bytes_str(m[i].addr));
    }
    put_u32(b->p + at, crc32c(0, b->p + at + 4, b->n - at - 4));
}

void peers_file_store(struct node *n, const struct peer_member *m, unsigned k)
{
    struct peers_job *j;

    if (n->peers_job != NULL) {
        n->peers_dirty = true;
        return;
    }
    j = hf_calloc(1, sizeof *j);
    j->node = n;
    j->disk = n->env->disk;
    peers_file_encode(&j->bytes, m, k);
    j->work.fn = peers_write;
    j->work.done = peers_written;
    j->work.data = j;
    n->peers_job = j;
    env_work(n->env, ENV_POOL, &j->work);
}

void peers_file_release(struct node *n)
{
    if (n->peers_job != NULL) {
        job_free(n->peers_job);
        n->peers_job = NULL;
    }
}

static unsigned peers_parse(struct bytes b, struct peer_member *m, unsigned max)
{
    struct reader r = reader_of(b);
    uint32_t crc = rd_u32(&r);
    unsigned k;

    if (b.n < 12 || crc != crc32c(0, b.p + 4, b.n - 4) ||
        rd_u32(&r) != PEERS_FILE_VERSION) {
        return 0;
    }
    k = rd_u32(&r);
    if (k > max) {
        return 0;
    }
    for (unsigned i = 0; i < k; i++) {
        struct bytes dir;
        struct bytes addr;

        memset(&m[i], 0, sizeof m[i]);
        m[i].id = rd_u64(&r);
        dir = rd_bytes(&r, PEER_ID_BYTES);
        addr = rd_lbytes(&r);
        if (!reader_ok(&r) || addr.n >= LIM_ADDR ||
            (addr.n > 0 && memchr(addr.p, 0, addr.n) != NULL)) {
            return 0;
        }
        memcpy(m[i].dir_id, dir.p, PEER_ID_BYTES);
        memcpy(m[i].addr, addr.p, addr.n);
    }
    return reader_done(&r) ? k : 0;
}

unsigned peers_file_load(struct disk *d, struct peer_member *m, unsigned max)
{
    uint8_t bytes[PEERS_FILE_MAX];
    struct disk_file *f;
    int64_t k;

    if (disk_open(d, file_name, DISK_READ, &f) != 0) {
        return 0;
    }
    k = disk_pread(f, bytes, sizeof bytes, 0);
    disk_close(f);
    return k <= 0 ? 0 : peers_parse(bytes_of(bytes, (size_t)k), m, max);
}

struct wipe {
    struct disk *disk;
    const char *dir;
    int status;
    char names[256][DISK_NAME_MAX];
    unsigned n;
};

static int wipe_collect(void *data, const char *name)
{
    struct wipe *w = data;

    if (w->n < sizeof w->names / sizeof w->names[0]) {
        snprintf(w->names[w->n++], DISK_NAME_MAX, "%s/%s", w->dir, name);
    }
    return 0;
}

static int wipe_dir(struct disk *d, const char *dir, struct errmsg *em)
{
    struct wipe *w = hf_calloc(1, sizeof *w);
    int rv;

    w->disk = d;
    w->dir = dir;
    rv = disk_list(d, dir, wipe_collect, w);
    if (rv == -ENOENT) {
        free(w);
        return 0;
    }
    for (unsigned i = 0; rv == 0 && i < w->n; i++) {
        rv = disk_unlink(d, w->names[i]);
    }
    if (rv == 0 && w->n > 0) {
        rv = disk_sync_dir(d, dir);
    }
    free(w);
    if (rv != 0) {
        return errmsg_set(em, hf_err_from_errno(-rv), "clear %s: %s", dir,
                          hf_strerror(hf_err_from_errno(-rv)));
    }
    return 0;
}

int peers_file_wipe_unborn(struct disk *d, struct errmsg *em)
{
    static const char *const votes[] = {"vote.a", "vote.b"};
    int rv = wipe_dir(d, "log", em);

    if (rv == 0) {
        rv = wipe_dir(d, "snap", em);
    }
    for (unsigned i = 0; rv == 0 && i < 2; i++) {
        int e = disk_unlink(d, votes[i]);

        if (e != 0 && e != -ENOENT) {
            rv = errmsg_set(em, hf_err_from_errno(-e), "remove %s: %s",
                            votes[i], hf_strerror(hf_err_from_errno(-e)));
        }
    }
    return rv;
}
