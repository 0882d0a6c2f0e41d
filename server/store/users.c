#include "server/store/users.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"

enum { USER_FLAGS = 7, SELECTOR_FLAGS = 7, ACCESS = 3, CATEGORIES_MAX = 32 };

/* ---- parts ---- */

bool patterns_add(struct user_patterns *p, struct bytes glob, uint8_t access)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (bytes_eq(blob_bytes(p->v[i].glob), glob)) {
            p->v[i].access |= access;
            return true;
        }
    }
    if (p->n == LIM_USER_PATTERNS || glob.n > LIM_USER_PATTERN) {
        return false;
    }
    p->v = hf_realloc(p->v, (p->n + 1) * sizeof *p->v);
    p->v[p->n++] = (struct user_pattern){blob_copy(glob.p, glob.n), access};
    return true;
}

void patterns_drop(struct user_patterns *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        blob_unref(p->v[i].glob);
    }
    free(p->v);
    memset(p, 0, sizeof *p);
}

static void patterns_copy(struct user_patterns *to,
                          const struct user_patterns *from)
{
    to->n = from->n;
    to->v = hf_malloc((from->n + 1) * sizeof *to->v);
    for (unsigned i = 0; i < from->n; i++) {
        to->v[i].glob = blob_ref(from->v[i].glob);
        to->v[i].access = from->v[i].access;
    }
}

bool selector_add_rule(struct user_selector *s, struct user_rule rule)
{
    unsigned k = 0;

    for (unsigned i = 0; i < s->rules_n; i++) {
        if (s->rules[i].kind != rule.kind || s->rules[i].what != rule.what) {
            s->rules[k++] = s->rules[i];
        }
    }
    s->rules_n = k;
    if (s->rules_n == LIM_USER_RULES) {
        return false;
    }
    s->rules = hf_realloc(s->rules, (k + 1) * sizeof *s->rules);
    s->rules[s->rules_n++] = rule;
    return true;
}

void selector_drop_rules(struct user_selector *s)
{
    free(s->rules);
    s->rules = NULL;
    s->rules_n = 0;
}

static void selector_release(struct user_selector *s)
{
    selector_drop_rules(s);
    patterns_drop(&s->keys);
    patterns_drop(&s->channels);
}

static void selector_copy(struct user_selector *to,
                          const struct user_selector *from)
{
    to->flags = from->flags;
    to->rules_n = from->rules_n;
    to->rules = hf_malloc((from->rules_n + 1) * sizeof *to->rules);
    if (from->rules_n > 0) {
        memcpy(to->rules, from->rules, from->rules_n * sizeof *to->rules);
    }
    patterns_copy(&to->keys, &from->keys);
    patterns_copy(&to->channels, &from->channels);
}

/* ---- one user ---- */

struct user *user_new(struct bytes name, uint64_t born)
{
    struct user *u = hf_calloc(1, sizeof *u);

    u->name = blob_copy(name.p, name.n);
    u->born = born;
    u->selectors = hf_calloc(1, sizeof *u->selectors);
    u->selectors_n = 1;
    return u;
}

struct user *user_clone(const struct user *u)
{
    struct user *c = hf_calloc(1, sizeof *c);

    c->name = blob_ref(u->name);
    c->born = u->born;
    c->flags = u->flags;
    c->hashes_n = u->hashes_n;
    c->hashes = hf_malloc((u->hashes_n + 1) * sizeof *c->hashes);
    if (u->hashes_n > 0) {
        memcpy(c->hashes, u->hashes, u->hashes_n * sizeof *c->hashes);
    }
    c->selectors_n = u->selectors_n;
    c->selectors = hf_calloc(u->selectors_n, sizeof *c->selectors);
    for (unsigned i = 0; i < u->selectors_n; i++) {
        selector_copy(&c->selectors[i], &u->selectors[i]);
    }
    return c;
}

void user_free(struct user *u)
{
    if (u == NULL) {
        return;
    }
    for (unsigned i = 0; i < u->selectors_n; i++) {
        selector_release(&u->selectors[i]);
    }
    free(u->selectors);
    free(u->hashes);
    blob_unref(u->name);
    free(u);
}

static bool same_hash(const uint8_t a[USER_HASH], const uint8_t b[USER_HASH])
{
    uint8_t differ = 0;

    for (unsigned i = 0; i < USER_HASH; i++) {
        differ |= a[i] ^ b[i];
    }
    return differ == 0;
}

bool user_has_hash(const struct user *u, const uint8_t hash[USER_HASH])
{
    bool found = false;

    for (unsigned i = 0; i < u->hashes_n; i++) {
        found |= same_hash(u->hashes[i], hash);
    }
    return found;
}

bool user_add_hash(struct user *u, const uint8_t hash[USER_HASH])
{
    if (user_has_hash(u, hash)) {
        return true;
    }
    if (u->hashes_n == LIM_USER_PASSWORDS) {
        return false;
    }
    u->hashes = hf_realloc(u->hashes, (u->hashes_n + 1) * sizeof *u->hashes);
    memcpy(u->hashes[u->hashes_n++], hash, USER_HASH);
    return true;
}

bool user_drop_hash(struct user *u, const uint8_t hash[USER_HASH])
{
    unsigned k = 0;

    for (unsigned i = 0; i < u->hashes_n; i++) {
        if (!same_hash(u->hashes[i], hash)) {
            memmove(u->hashes[k++], u->hashes[i], USER_HASH);
        }
    }
    if (k == u->hashes_n) {
        return false;
    }
    u->hashes_n = k;
    return true;
}

void user_drop_hashes(struct user *u)
{
    u->hashes_n = 0;
}

bool user_add_selector(struct user *u)
{
    if (u->selectors_n == LIM_USER_SELECTORS) {
        return false;
    }
    u->selectors =
        hf_realloc(u->selectors, (u->selectors_n + 1) * sizeof *u->selectors);
    memset(&u->selectors[u->selectors_n++], 0, sizeof *u->selectors);
    return true;
}

void user_drop_selectors(struct user *u)
{
    while (u->selectors_n > 1) {
        selector_release(&u->selectors[--u->selectors_n]);
    }
}

/* ---- as bytes ---- */

static void patterns_encode(const struct user_patterns *p, struct buf *out)
{
    for (unsigned i = 0; i < p->n; i++) {
        buf_u8(out, p->v[i].access);
        buf_lbytes(out, blob_bytes(p->v[i].glob));
    }
}

void user_encode(const struct user *u, struct buf *out)
{
    buf_u64(out, u->born);
    buf_u8(out, u->flags);
    buf_u8(out, (uint8_t)u->hashes_n);
    buf_u8(out, (uint8_t)u->selectors_n);
    buf_u8(out, 0); /* reserved */
    buf_lbytes(out, blob_bytes(u->name));
    for (unsigned i = 0; i < u->hashes_n; i++) {
        buf_append(out, u->hashes[i], USER_HASH);
    }
    for (unsigned i = 0; i < u->selectors_n; i++) {
        const struct user_selector *s = &u->selectors[i];

        buf_u8(out, s->flags);
        buf_u8(out, 0); /* reserved */
        buf_u16(out, (uint16_t)s->rules_n);
        buf_u16(out, (uint16_t)s->keys.n);
        buf_u16(out, (uint16_t)s->channels.n);
        for (unsigned k = 0; k < s->rules_n; k++) {
            buf_u8(out, s->rules[k].allow);
            buf_u8(out, s->rules[k].kind);
            buf_u16(out, s->rules[k].what);
        }
        patterns_encode(&s->keys, out);
        patterns_encode(&s->channels, out);
    }
}

static bool rd_patterns(struct reader *r,
                        unsigned n,
                        bool keys,
                        struct user_patterns *out)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t access = rd_u8(r);
        struct bytes glob = rd_lbytes(r);

        if (!reader_ok(r) || (access & ~ACCESS) != 0 || keys != (access != 0) ||
            !patterns_add(out, glob, access) || out->n != i + 1) {
            return false;
        }
    }
    return true;
}

static bool rd_selector(struct reader *r, struct user_selector *s)
{
    unsigned rules, keys, channels;

    s->flags = rd_u8(r);
    if (rd_u8(r) != 0 || (s->flags & ~SELECTOR_FLAGS) != 0) {
        return false;
    }
    rules = rd_u16(r);
    keys = rd_u16(r);
    channels = rd_u16(r);
    for (unsigned i = 0; i < rules; i++) {
        struct user_rule rule;

        rule.allow = rd_u8(r);
        rule.kind = rd_u8(r);
        rule.what = rd_u16(r);
        if (!reader_ok(r) || rule.allow > 1 || rule.kind > RULE_CATEGORY ||
            (rule.kind == RULE_CATEGORY && rule.what >= CATEGORIES_MAX) ||
            !selector_add_rule(s, rule) || s->rules_n != i + 1) {
            return false;
        }
    }
    return rd_patterns(r, keys, true, &s->keys) &&
           rd_patterns(r, channels, false, &s->channels);
}

static bool rd_user(struct reader *r, struct user *u, uint8_t hashes)
{
    for (unsigned i = 0; i < hashes; i++) {
        struct bytes hash = rd_bytes(r, USER_HASH);

        if (!reader_ok(r) || !user_add_hash(u, hash.p) ||
            u->hashes_n != i + 1) {
            return false;
        }
    }
    for (unsigned i = 0; i < u->selectors_n; i++) {
        if (!rd_selector(r, &u->selectors[i])) {
            return false;
        }
    }
    return reader_done(r);
}

struct user *user_decode(struct bytes payload)
{
    struct reader r = reader_of(payload);
    uint64_t born = rd_u64(&r);
    uint8_t flags = rd_u8(&r);
    uint8_t hashes = rd_u8(&r);
    uint8_t selectors = rd_u8(&r);
    uint8_t reserved = rd_u8(&r);
    struct bytes name = rd_lbytes(&r);
    struct user *u;

    if (!reader_ok(&r) || (flags & ~USER_FLAGS) != 0 || reserved != 0 ||
        selectors == 0 || selectors > LIM_USER_SELECTORS ||
        name.n > LIM_USER_NAME) {
        return NULL;
    }
    u = user_new(name, born);
    u->flags = flags;
    while (u->selectors_n < selectors) {
        hf_assert(user_add_selector(u));
    }
    if (!rd_user(&r, u, hashes)) {
        user_free(u);
        return NULL;
    }
    return u;
}

/* ---- all of them ---- */

static struct user *default_user(void)
{
    struct user *u = user_new(bytes_str("default"), 0);

    u->flags = USER_ON | USER_NOPASS;
    u->selectors[0].flags =
        SELECTOR_KEYS | SELECTOR_CHANNELS | SELECTOR_COMMANDS;
    return u;
}

static size_t encoded_size(const struct user *u)
{
    struct buf b = BUF_INIT;
    size_t n;

    user_encode(u, &b);
    n = b.n;
    buf_release(&b);
    return n;
}

/* The first place whose name is not below @name. */
static unsigned place(const struct users *us, struct bytes name)
{
    unsigned low = 0;
    unsigned high = us->n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (bytes_cmp(blob_bytes(us->v[mid]->name), name) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool is_at(const struct users *us, unsigned i, struct bytes name)
{
    return i < us->n && bytes_eq(blob_bytes(us->v[i]->name), name);
}

const struct user *users_find(const struct users *us, struct bytes name)
{
    unsigned i = place(us, name);

    return is_at(us, i, name) ? us->v[i] : NULL;
}

void users_look(struct users *us)
{
    const struct user *u = users_find(us, bytes_str("default"));
    const struct user_selector *s;

    hf_assert(u != NULL);
    s = &u->selectors[0];
    us->open =
        (u->flags & USER_ON) != 0 && (u->flags & USER_NOPASS) != 0 &&
        s->flags == (SELECTOR_KEYS | SELECTOR_CHANNELS | SELECTOR_COMMANDS) &&
        s->rules_n == 0;
    us->plain = us->open && us->n == 1 && u->hashes_n == 0 &&
                u->selectors_n == 1 && (u->flags & USER_SANITIZE) == 0;
}

void users_init(struct users *us)
{
    struct user *u = default_user();

    memset(us, 0, sizeof *us);
    us->v = hf_malloc(sizeof *us->v);
    us->v[us->n++] = u;
    us->bytes = encoded_size(u);
    users_look(us);
    hf_assert(us->plain);
}

void users_release(struct users *us)
{
    for (unsigned i = 0; i < us->n; i++) {
        user_free(us->v[i]);
    }
    free(us->v);
    memset(us, 0, sizeof *us);
}

bool users_fit(const struct users *us, const struct user *u)
{
    const struct user *old = users_find(us, blob_bytes(u->name));
    size_t bytes = us->bytes + encoded_size(u);

    if (old == NULL) {
        return us->n < LIM_USERS && bytes <= LIM_USERS_BYTES;
    }
    return bytes - encoded_size(old) <= LIM_USERS_BYTES;
}

void users_put(struct users *us, struct user *u)
{
    unsigned i = place(us, blob_bytes(u->name));

    if (is_at(us, i, blob_bytes(u->name))) {
        us->bytes -= encoded_size(us->v[i]);
        user_free(us->v[i]);
    } else {
        us->v = hf_realloc(us->v, (us->n + 1) * sizeof *us->v);
        memmove(us->v + i + 1, us->v + i, (us->n - i) * sizeof *us->v);
        us->n++;
    }
    us->v[i] = u;
    us->bytes += encoded_size(u);
    users_look(us);
}

bool users_delete(struct users *us, struct bytes name)
{
    unsigned i = place(us, name);

    hf_assert(!bytes_eq(name, bytes_str("default")));
    if (!is_at(us, i, name)) {
        return false;
    }
    us->bytes -= encoded_size(us->v[i]);
    user_free(us->v[i]);
    us->n--;
    memmove(us->v + i, us->v + i + 1, (us->n - i) * sizeof *us->v);
    users_look(us);
    return true;
}
