#include "server/command/notify.h"

#include "base/mutant.h"

static const struct {
    char letter;
    unsigned flag;
} letters[] = {
    {'g', NOTIFY_GENERIC},  {'$', NOTIFY_STRING},   {'l', NOTIFY_LIST},
    {'s', NOTIFY_SET},      {'h', NOTIFY_HASH},     {'z', NOTIFY_ZSET},
    {'x', NOTIFY_EXPIRED},  {'e', NOTIFY_EVICTED},  {'t', NOTIFY_STREAM},
    {'d', NOTIFY_MODULE},   {'n', NOTIFY_NEW},      {'K', NOTIFY_KEYSPACE},
    {'E', NOTIFY_KEYEVENT}, {'m', NOTIFY_KEY_MISS},
};
enum { LETTERS = sizeof letters / sizeof letters[0] };

bool notify_parse(const char *text, unsigned *flags)
{
    unsigned all = 0;

    for (; *text != 0; text++) {
        unsigned flag = *text == 'A' ? NOTIFY_ALL : 0;

        for (int i = 0; i < LETTERS; i++) {
            flag |= letters[i].letter == *text ? letters[i].flag : 0;
        }
        if (flag == 0) {
            return false;
        }
        all |= flag;
    }
    *flags = all;
    return true;
}

void notify_format(unsigned flags, char out[NOTIFY_TEXT])
{
    if ((flags & NOTIFY_ALL) == NOTIFY_ALL) {
        *out++ = 'A';
        flags &= ~(unsigned)(NOTIFY_ALL | NOTIFY_NEW);
    }
    for (int i = 0; i < LETTERS; i++) {
        if ((flags & letters[i].flag) != 0) {
            *out++ = letters[i].letter;
        }
    }
    *out = 0;
}

void notify_put(struct machine *m,
                struct bytes key,
                struct bytes value,
                uint64_t deadline,
                enum notify_class class,
                const char *event)
{
    struct store *s = machine_store(m);

    if (machine_notifies(m)) {
        /* A key that RESTORE replaces counts as gone before. */
        bool fresh = class == NOTIFY_GENERIC || store_get(s, key) == NULL;

        store_put(s, key, value, deadline);
        if (fresh) {
            machine_notify(m, NOTIFY_NEW, "new", key);
        }
        machine_notify(m, class, event, key);
    } else {
        store_put(s, key, value, deadline);
    }
}

bool notify_delete(struct machine *m, struct bytes key)
{
    bool there = store_delete(machine_store(m), key);

    if (there || mutant(NOTIFY_NOTHING_DONE)) {
        machine_notify(m, NOTIFY_GENERIC, "del", key);
    }
    return there;
}

const struct item *notify_get(struct machine *m, struct bytes key)
{
    const struct item *it = store_get(machine_store(m), key);

    machine_count_lookup(m, it != NULL);
    if (it == NULL) {
        machine_notify(m, NOTIFY_KEY_MISS, "keymiss", key);
    }
    return it;
}
