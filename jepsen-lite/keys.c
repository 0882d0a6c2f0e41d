#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "jepsen-lite/load.h"

void keys_init(struct keys *k, const char *prefix, int n_slots)
{
    hf_assert(n_slots <= KEY_SLOTS_MAX);
    memset(k, 0, sizeof(*k));
    pthread_mutex_init(&k->lock, NULL);
    k->prefix = prefix;
    k->n_slots = n_slots;
    for (int i = 0; i < n_slots; i++) {
        k->slots[i].number = k->next++;
    }
}

static void renew(struct keys *k, struct key_slot *s)
{
    memset(s, 0, sizeof(*s));
    s->number = k->next++;
}

static void spell(struct keys *k, const struct key_slot *s, char *name)
{
    snprintf(name, NAME_MAX_LEN, "%s%llu", k->prefix,
             (unsigned long long)s->number);
}

/* True when @p may use the key of @s, too. */
static bool admit(struct key_slot *s, uint64_t p)
{
    for (int i = 0; i < s->n_processes; i++) {
        if (s->processes[i] == p) {
            return true;
        }
    }
    if (s->n_processes == KEY_PROCESSES_MAX) {
        return false;
    }
    s->processes[s->n_processes++] = p;
    return true;
}

bool keys_use(struct keys *k,
              int slot,
              uint64_t p,
              int ops,
              char name[NAME_MAX_LEN])
{
    struct key_slot *s = &k->slots[slot % k->n_slots];
    bool fresh;

    pthread_mutex_lock(&k->lock);
    if (s->ops + ops > KEY_OPS_MAX || s->infos >= KEY_INFO_MAX ||
        !admit(s, p)) {
        renew(k, s);
        admit(s, p);
    }
    fresh = s->ops == 0;
    s->ops += ops;
    spell(k, s, name);
    pthread_mutex_unlock(&k->lock);
    return fresh;
}

void keys_name(struct keys *k, int slot, char name[NAME_MAX_LEN])
{
    pthread_mutex_lock(&k->lock);
    spell(k, &k->slots[slot % k->n_slots], name);
    pthread_mutex_unlock(&k->lock);
}

static struct key_slot *find(struct keys *k, const char *name)
{
    char have[NAME_MAX_LEN];

    for (int i = 0; i < k->n_slots; i++) {
        spell(k, &k->slots[i], have);
        if (strcmp(have, name) == 0) {
            return &k->slots[i];
        }
    }
    return NULL; /* another client has given it up already */
}

void keys_info(struct keys *k, const char *name)
{
    struct key_slot *s;

    pthread_mutex_lock(&k->lock);
    s = find(k, name);
    if (s != NULL) {
        s->infos++;
    }
    pthread_mutex_unlock(&k->lock);
}

void keys_drop(struct keys *k, const char *name)
{
    struct key_slot *s;

    pthread_mutex_lock(&k->lock);
    s = find(k, name);
    if (s != NULL) {
        renew(k, s);
    }
    pthread_mutex_unlock(&k->lock);
}
