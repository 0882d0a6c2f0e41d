/* Users: who may do what. Part of the state machine, so the same on every
 * node at equal index, and in snapshots (docs/FORMATS.md, "State stream").
 *
 * A user has one selector or more; a command is permitted when one of them
 * permits all of it. Passwords are SHA-256 hashes: clear text never comes
 * here. What rules mean for a command: server/command/acl.h.
 *
 * The user "default" is always there: connections that have not
 * authenticated are his. Until he is changed he may do everything.
 *
 * Loop thread only. */
#ifndef HF_STORE_USERS_H
#define HF_STORE_USERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { USER_HASH = 32 }; /* bytes of a password's hash */

enum user_flag {
    USER_ON = 1,       /* may authenticate */
    USER_NOPASS = 2,   /* with any password */
    USER_SANITIZE = 4, /* shown only: every RESTORE is checked here */
};

enum selector_flag {
    SELECTOR_KEYS = 1,     /* all keys */
    SELECTOR_CHANNELS = 2, /* all channels */
    SELECTOR_COMMANDS = 4, /* all commands, but for what the rules take */
};

/* One step of permitting commands: the last that names a command decides. */
enum user_rule_kind { RULE_COMMAND = 0, RULE_CATEGORY = 1 };
struct user_rule {
    uint8_t allow;
    uint8_t kind;  /* enum user_rule_kind */
    uint16_t what; /* a command's id, or a category's bit */
};

enum key_access { KEY_READ = 1, KEY_WRITE = 2 };
struct user_pattern {
    struct blob *glob; /* one reference */
    uint8_t access;    /* enum key_access; of a channel: 0 */
};

struct user_patterns {
    struct user_pattern *v;
    unsigned n;
};

struct user_selector {
    uint8_t flags;
    struct user_rule *rules;
    unsigned rules_n;
    struct user_patterns keys;
    struct user_patterns channels;
};

struct user {
    struct blob *name;
    uint64_t born; /* index of the entry that made him; default: 0 */
    uint8_t flags;
    uint8_t (*hashes)[USER_HASH];
    unsigned hashes_n;
    struct user_selector *selectors; /* [0] is there always */
    unsigned selectors_n;
};

/* Nothing permitted, off. Never NULL. */
struct user *user_new(struct bytes name, uint64_t born);
struct user *user_clone(const struct user *u);
void user_free(struct user *u); /* NULL is allowed */

/* Change @u; false: a limit was reached (base/limits.h) and nothing done. */
bool user_add_hash(struct user *u, const uint8_t hash[USER_HASH]);
bool user_drop_hash(struct user *u, const uint8_t hash[USER_HASH]);
void user_drop_hashes(struct user *u);
bool user_add_selector(struct user *u);
void user_drop_selectors(struct user *u); /* all but the first */
/* What an earlier rule of the same kind said is forgotten. */
bool selector_add_rule(struct user_selector *s, struct user_rule rule);
void selector_drop_rules(struct user_selector *s);
/* @channel or key; one that is there gets @access, too. */
bool patterns_add(struct user_patterns *p, struct bytes glob, uint8_t access);
void patterns_drop(struct user_patterns *p);

/* Is one of the hashes this one? Takes as long whichever it is. */
bool user_has_hash(const struct user *u, const uint8_t hash[USER_HASH]);

/* The payload of a snapshot's record. decode: NULL when malformed. */
void user_encode(const struct user *u, struct buf *out);
struct user *user_decode(struct bytes payload);

/* ---- all of them ---- */

struct users {
    struct user **v; /* by name */
    unsigned n;
    size_t bytes; /* encoded */
    bool open;    /* default may do everything, without a password */
    bool plain;   /* nothing was ever changed, or all of it back */
};

void users_init(struct users *us);
/* After @us was filled by hand: set what is derived. */
void users_look(struct users *us);
void users_release(struct users *us);
const struct user *users_find(const struct users *us, struct bytes name);
/* Would @u fit, in place of one with his name or beside all? */
bool users_fit(const struct users *us, const struct user *u);
/* @u is taken. He replaces the one with his name. */
void users_put(struct users *us, struct user *u);
bool users_delete(struct users *us, struct bytes name);

#endif
