#include "base/mutant.h"

#include <stddef.h>
#include <string.h>

#ifdef HF_MUTANTS
enum mutant_id mutant_chosen = MUT_NONE;
#endif

static const struct {
    const char *name;
    const char *text;
} mutants[] = {
    {NULL, NULL},
#define M(name, text) {#name, text},
    MUTANTS(M)
#undef M
};

const char *mutant_name(int id)
{
    return id > 0 && id < MUT_COUNT ? mutants[id].name : NULL;
}

const char *mutant_text(int id)
{
    return id > 0 && id < MUT_COUNT ? mutants[id].text : NULL;
}

int mutant_find(const char *name)
{
    for (int i = 1; i < MUT_COUNT; i++) {
        if (strcmp(mutants[i].name, name) == 0) {
            return i;
        }
    }
    return MUT_NONE;
}
