/* Mutants of this part: M(NAME, "what is wrong with it"). */
#ifndef HF_BASE_MUTANTS_LOG_DEF_H
#define HF_BASE_MUTANTS_LOG_DEF_H

#define MUTANTS_LOG(M)

#endif
