/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_EDGE_DEF_H
#define HF_BASE_MUTANTS_EDGE_DEF_H

#define MUTANTS_EDGE(M)                                                      \
    M(SET_CONDITION, "SET stores although NX, XX or IFEQ is false")          \
    M(TXN_CONDITION, "EXEC and TXN run although a watched key changed")      \
    M(ONCE_AGAIN, "a named request sent again is applied again")

#endif
