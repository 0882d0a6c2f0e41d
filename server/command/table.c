#include "server/command/table.h"

#include <stdio.h>

#include "base/assert.h"
#include "server/command/args.h"

static const struct command rows[] = {
#define X(id, name, arity, flags, first, last, step, group, fn, syntax, help) \
    {id, #name, NULL, arity, flags, first, last, step, group, fn, syntax, help},
    COMMANDS(X)
#undef X
#define S(id, parent, name, arity, flags, first, last, step, group, fn, \
          syntax, help)                                                 \
    {id,   #name, #parent, arity, flags,  first,                        \
     last, step,  group,   fn,    syntax, help},
        SUBCOMMANDS(S)
#undef S
};

enum { ROWS = sizeof rows / sizeof rows[0], SLOTS = 2048, IDS = 1024 };
_Static_assert(ROWS < SLOTS / 2, "the hash table stays half empty");

/* Built at the first use, never changed after. */
static const struct command *by_name[SLOTS];
static const struct command *by_id[IDS];

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static size_t slot_of(struct bytes name, size_t seed)
{
    uint32_t h = 2166136261u ^ (uint32_t)seed;

    for (size_t i = 0; i < name.n; i++) {
        h = (h ^ lower(name.p[i])) * 16777619u;
    }
    return (h ^ h >> 16) % SLOTS;
}

static size_t parent_seed(const char *parent)
{
    return parent == NULL ? 0 : 1 + slot_of(bytes_str(parent), 0);
}

static void build(void)
{
    static bool built;

    if (built) {
        return;
    }
    built = true;
    for (size_t i = 0; i < ROWS; i++) {
        size_t at =
            slot_of(bytes_str(rows[i].name), parent_seed(rows[i].parent));

        while (by_name[at] != NULL) {
            at = (at + 1) % SLOTS;
        }
        hf_assert(rows[i].id < IDS && by_id[rows[i].id] == NULL);
        by_id[rows[i].id] = &rows[i];
        by_name[at] = &rows[i];
    }
}

static const struct command *find(const char *parent, struct bytes name)
{
    build();
    for (size_t at = slot_of(name, parent_seed(parent)); by_name[at] != NULL;
         at = (at + 1) % SLOTS) {
        const struct command *c = by_name[at];

        if (bytes_ieq(name, c->name) &&
            (parent == NULL
                 ? c->parent == NULL
                 : c->parent != NULL && strcmp(c->parent, parent) == 0)) {
            return c;
        }
    }
    return NULL;
}

const struct command *command_table(size_t *n)
{
    *n = ROWS;
    return rows;
}

const struct command *command_by_name(struct bytes name)
{
    return find(NULL, name);
}

const struct command *command_by_id(uint16_t id)
{
    build();
    return id < IDS ? by_id[id] : NULL;
}

const struct command *command_sub(const struct command *parent,
                                  struct bytes name)
{
    return find(parent->name, name);
}

void command_full_name(const struct command *c, char out[48])
{
    int n = c->parent == NULL ? snprintf(out, 48, "%s", c->name)
                              : snprintf(out, 48, "%s|%s", c->parent, c->name);

    hf_assert(n > 0 && n < 48);
}
