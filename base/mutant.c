#include "base/mutant.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
} mutants[] = {{NULL, NULL},
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

#ifdef HF_MUTANTS
enum mutant_id mutant_chosen = MUT_NONE;

/* Any program of such a build takes its mutant from the environment; "list"
 * prints them. A name that is misspelt must not pass for a mutant that
 * nothing catches. */
__attribute__((constructor)) static void mutant_from_environment(void)
{
    const char *name = getenv("HF_MUTANT");

    if (name == NULL || *name == '\0') {
        return;
    }
    if (strcmp(name, "list") == 0) {
        for (int i = 1; i < MUT_COUNT; i++) {
            printf("%s %s\n", mutants[i].name, mutants[i].text);
        }
        exit(0);
    }
    mutant_chosen = (enum mutant_id)mutant_find(name);
    if (mutant_chosen == MUT_NONE) {
        fprintf(stderr, "HF_MUTANT: no mutant is called %s\n", name);
        exit(2);
    }
}
#endif
