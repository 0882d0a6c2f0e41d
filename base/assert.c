#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void hf_assert_fail(const char *expr, const char *file, int line)
{
    fprintf(stderr, "holdfast: assertion failed: %s (%s:%d)\n", expr, file,
            line);
    fflush(NULL);
    abort();
}
