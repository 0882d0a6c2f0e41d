/* kv: output. */
#include <inttypes.h>
#include <stdio.h>

#include "client/kv_int.h"

void kv_print_safe(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];

        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) {
            printf("\\x%02x", c);
        } else {
            putchar(c);
        }
    }
}

static bool is_utf8(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t len = utf8_len((const uint8_t *)p + i, n - i);

        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

static void print_base64(const uint8_t *p, size_t n)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)p[i] << 16;

        v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)p[i + 2] : 0;
        putchar(digits[v >> 18]);
        putchar(digits[v >> 12 & 63]);
        putchar(left > 1 ? digits[v >> 6 & 63] : '=');
        putchar(left > 2 ? digits[v & 63] : '=');
    }
}

void kv_print_json(const char *p, size_t n)
{
    if (!is_utf8(p, n)) {
        printf("{\"base64\":\"");
        print_base64((const uint8_t *)p, n);
        printf("\"}");
        return;
    }
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];

        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20 || c == 0x7F) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

void kv_print_bytes(const struct kv *kv, const char *p, size_t n)
{
    if (kv->output == KV_RAW) {
        (void)fwrite(p, 1, n, stdout); /* main() checks the stream */
        return;
    }
    if (kv->output == KV_JSON) {
        kv_print_json(p, n);
    } else {
        kv_print_safe(p, n);
    }
    putchar('\n');
}

/* A string as redis-cli shows it on a terminal. */
static void print_quoted(const char *p, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];

        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            printf("\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        } else if (c < 0x20 || c >= 0x7F) {
            printf("\\x%02x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void print_json_reply(const struct hf_reply *r)
{
    bool map = r->type == HF_REPLY_MAP;

    switch (r->type) {
        case HF_REPLY_STATUS:
        case HF_REPLY_STRING:
            kv_print_json(r->str, r->len);
            break;
        case HF_REPLY_ERROR:
            printf("{\"error\":");
            kv_print_json(r->str, r->len);
            putchar('}');
            break;
        case HF_REPLY_INTEGER:
            printf("%" PRId64, r->integer);
            break;
        case HF_REPLY_BOOL:
            printf("%s", r->integer != 0 ? "true" : "false");
            break;
        case HF_REPLY_DOUBLE:
            /* JSON has no infinity. */
            if (r->number - r->number == 0) {
                printf("%.17g", r->number);
            } else {
                kv_print_json(r->str, r->len);
            }
            break;
        case HF_REPLY_NULL:
            printf("null");
            break;
        case HF_REPLY_ARRAY:
        case HF_REPLY_MAP:
            putchar(map ? '{' : '[');
            for (size_t i = 0; i < r->n; i++) {
                printf("%s", i == 0 ? "" : map && i % 2 == 1 ? ":" : ",");
                print_json_reply(&r->items[i]);
            }
            putchar(map ? '}' : ']');
            break;
    }
}

/* Without a line end. */
static void print_leaf(const struct kv *kv, const struct hf_reply *r)
{
    bool raw = kv->output == KV_RAW;

    switch (r->type) {
        case HF_REPLY_ERROR:
            printf("%s", raw ? "" : "(error) ");
            kv_print_safe(r->str, r->len);
            break;
        case HF_REPLY_INTEGER:
            printf(raw ? "%" PRId64 : "(integer) %" PRId64, r->integer);
            break;
        case HF_REPLY_BOOL:
            printf("%s%s", raw ? "" : "(", r->integer != 0 ? "true" : "false");
            printf("%s", raw ? "" : ")");
            break;
        case HF_REPLY_NULL:
            printf("%s", raw ? "" : "(nil)");
            break;
        case HF_REPLY_STRING:
            if (!raw) {
                print_quoted(r->str, r->len);
                break;
            }
            (void)fwrite(r->str, 1, r->len, stdout);
            break;
        case HF_REPLY_DOUBLE:
            printf("%s%s", raw ? "" : "(double) ", r->str);
            break;
        default:
            kv_print_safe(r->str, r->len);
            break;
    }
}

static void print_tree(const struct kv *kv,
                       const struct hf_reply *r,
                       int indent)
{
    bool map = r->type == HF_REPLY_MAP;
    size_t step = map ? 2 : 1;

    if (r->type != HF_REPLY_ARRAY && !map) {
        print_leaf(kv, r);
        putchar('\n');
        return;
    }
    if (r->n == 0 && kv->output == KV_TEXT) {
        printf("(empty %s)\n", map ? "hash" : "array");
    }
    for (size_t i = 0; i < r->n; i += step) {
        int width = 0;

        if (kv->output == KV_TEXT) {
            width = printf("%*s%zu%s ", i == 0 ? 0 : indent, "", i / step + 1,
                           map ? "#" : ")");
            width -= i == 0 ? 0 : indent;
        }
        if (map && i + 1 < r->n) {
            print_leaf(kv, &r->items[i]);
            printf("%s", kv->output == KV_TEXT ? " => " : "\n");
            print_tree(kv, &r->items[i + 1], indent + width + 4);
        } else {
            print_tree(kv, &r->items[i], indent + width);
        }
    }
}

void kv_print_reply(const struct kv *kv, const struct hf_reply *r)
{
    if (kv->output == KV_JSON) {
        print_json_reply(r);
        putchar('\n');
    } else {
        print_tree(kv, r, 0);
    }
}
