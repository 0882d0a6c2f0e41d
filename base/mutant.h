/* Mutants: deliberate faults that the tests must catch (docs: ./dev mutants).
 *
 * Only builds with HF_MUTANTS have them: there mutant(X) is true when X was
 * chosen at run time, by mutant_chosen or HF_MUTANT=X in the environment. In
 * every other build it is a constant false and the branch disappears. A line
 * per mutant: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANT_H
#define HF_BASE_MUTANT_H

#include <stdbool.h>

#include "base/mutants.def.h"

enum mutant_id {
    MUT_NONE = 0,
#define M(name, text) MUT_##name,
    MUTANTS(M)
#undef M
        MUT_COUNT
};

#ifdef HF_MUTANTS
extern enum mutant_id mutant_chosen;
#define mutant(id) (mutant_chosen == MUT_##id)
#else
#define mutant(id) false
#endif

/* Name and text of mutant @id; NULL for MUT_NONE and beyond. */
const char *mutant_name(int id);
const char *mutant_text(int id);
/* MUT_NONE when there is none of that name. */
int mutant_find(const char *name);

#endif
