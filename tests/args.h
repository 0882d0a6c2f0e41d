/* Words on the command lines of the simulators and of the storage faults. */
#ifndef HF_TESTS_ARGS_H
#define HF_TESTS_ARGS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mutant.h"

/* @text (NULL: missing) as a number; else @usage(), which does not return. */
static inline uint64_t arg_number(const char *text, void (*usage)(void))
{
    char *end;
    unsigned long long v;

    if (text == NULL) {
        usage();
    }
    v = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        usage();
    }
    return v;
}

/* Work with this deliberate fault; ends the program if there is none such. */
static inline void arg_mutant(const char *name)
{
    int id = name == NULL ? MUT_NONE : mutant_find(name);

    if (id == MUT_NONE) {
        fprintf(stderr, "no mutant is called %s\n",
                name == NULL ? "nothing" : name);
        exit(2);
    }
#ifdef HF_MUTANTS
    mutant_chosen = (enum mutant_id)id;
#else
    fprintf(stderr, "this build has no mutants: ./dev build mutants\n");
    exit(2);
#endif
}

#endif
