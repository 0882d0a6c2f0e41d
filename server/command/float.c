#include "server/command/float.h"

#include <string.h>
#include <strings.h>
/* mpfr.h declares the printing functions only after these. */
#include <stdarg.h>
#include <stdio.h>

#include <mpfr.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mutant.h"

/* MPFR counts exponents of mantissas in [1/2, 1): one more than IEEE does.
 * The smallest subnormal of x87 is 2^-16445. */
enum {
    X87_BITS = 64,
    X87_EMAX = 16384,
    X87_EMIN = -16444,
};

/* The bounds of exponents are globals of the library: ours while we compute. */
struct bounds {
    mpfr_exp_t emin;
    mpfr_exp_t emax;
};

static struct bounds bounds_enter(void)
{
    struct bounds was = {mpfr_get_emin(), mpfr_get_emax()};

    mpfr_set_emin(X87_EMIN);
    mpfr_set_emax(X87_EMAX);
    return was;
}

static void bounds_leave(struct bounds was)
{
    mpfr_set_emin(was.emin);
    mpfr_set_emax(was.emax);
}

static bool digit(char c, bool hex)
{
    char letter = (char)(c | 0x20);

    return (c >= '0' && c <= '9') || (hex && letter >= 'a' && letter <= 'f');
}

/* What a text says, before rounding. */
enum kind { NO_NUMBER, ZERO, INFINITE, FINITE };

/* [sign] digits [. digits] [exponent], in hexadecimal behind 0x; or
 * infinity. */
static enum kind kind_of(const char *p)
{
    bool hex, any = false, zero = true;

    p += *p == '+' || *p == '-';
    if (strcasecmp(p, "inf") == 0 || strcasecmp(p, "infinity") == 0) {
        return INFINITE;
    }
    hex = p[0] == '0' && (p[1] | 0x20) == 'x';
    p += hex ? 2 : 0;
    for (bool point = false; digit(*p, hex) || (*p == '.' && !point); p++) {
        point |= *p == '.';
        any |= *p != '.';
        zero &= *p == '.' || *p == '0';
    }
    if (any && (*p | 0x20) == (hex ? 'p' : 'e')) {
        p += 1 + (p[1] == '+' || p[1] == '-');
        any = digit(*p, false);
        while (digit(*p, false)) {
            p++;
        }
    }
    if (!any || *p != 0) {
        return NO_NUMBER;
    }
    return zero ? ZERO : FINITE;
}

/* Between bounds_enter() and bounds_leave(). */
static bool parse(struct bytes text, mpfr_t out)
{
    char s[FLOAT_TEXT_MAX];
    enum kind kind;
    int inexact;

    if (text.n == 0 || text.n >= sizeof s ||
        memchr(text.p, 0, text.n) != NULL) {
        return false;
    }
    memcpy(s, text.p, text.n);
    s[text.n] = 0;
    kind = kind_of(s);
    if (kind == NO_NUMBER) {
        return false;
    }
    inexact = mpfr_strtofr(out, s, NULL, 0, MPFR_RNDN);
    (void)mpfr_subnormalize(out, inexact, MPFR_RNDN);
    /* Nothing or too much is left of it: strtold() calls that out of range. */
    return kind != FINITE || mpfr_regular_p(out);
}

bool float_is(struct bytes text)
{
    struct bounds was = bounds_enter();
    MPFR_DECL_INIT(v, X87_BITS);
    bool is = parse(text, v);

    bounds_leave(was);
    return is;
}

static void print(mpfr_t v, struct buf *out)
{
    enum { DECIMALS = 17 };
    char text[FLOAT_TEXT_MAX];
    int n = mpfr_snprintf(text, sizeof text, "%.*RNf", DECIMALS, v);

    hf_assert(n > DECIMALS && n < (int)sizeof text);
    while (text[n - 1] == '0') {
        n--;
    }
    n -= text[n - 1] == '.';
    if (n == 2 && memcmp(text, "-0", 2) == 0) {
        buf_u8(out, '0');
        return;
    }
    buf_append(out, text, (size_t)n);
}

int float_add(struct bytes a, struct bytes b, struct buf *out)
{
    struct bounds was = bounds_enter();
    MPFR_DECL_INIT(x, X87_BITS);
    MPFR_DECL_INIT(y, X87_BITS);
    int inexact;
    int rv = HF_EINVAL;

    if (parse(a, x) && parse(b, y)) {
        if (mutant(FLOAT_DOUBLE)) {
            mpfr_prec_round(y, 53, MPFR_RNDN);
        }
        inexact = mpfr_add(x, x, y, MPFR_RNDN);
        (void)mpfr_subnormalize(x, inexact, MPFR_RNDN);
        rv = mpfr_number_p(x) ? 0 : HF_ELIMIT;
    }
    bounds_leave(was);
    if (rv == 0) {
        print(x, out);
    }
    return rv;
}
