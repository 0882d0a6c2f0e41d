/* Mutants of this part: M(NAME, "what is wrong with it"). These are of the
 * harness: a run of ./dev jepsen with one must not pass as valid. */
#ifndef HF_BASE_MUTANTS_JEPSEN_DEF_H
#define HF_BASE_MUTANTS_JEPSEN_DEF_H

#define MUTANTS_JEPSEN(M)                                       \
    M(CHECK_ACCEPTS_ALL, "the checker sees no violation")       \
    M(RULES_NOT_APPLIED, "the nemesis sets no packet filter")   \
    M(KILLS_NOTHING, "the nemesis sends no signal to any node") \
    M(INFO_AS_FAIL, "an unknown outcome is written down as a failure")

#endif
