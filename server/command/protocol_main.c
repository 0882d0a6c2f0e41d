/* Writes the part of docs/PROTOCOL.md that comes from the command table:
 * what stands between the two marker lines is replaced. Standard input is
 * the page, standard output the new one (scripts/protocol). */
#include <stdio.h>

#include "server/command/command.h"

int main(void)
{
    static const char begin[] = "<!-- commands: begin -->\n";
    static const char end[] = "<!-- commands: end -->\n";
    struct buf page = BUF_INIT, out = BUF_INIT;
    const uint8_t *from, *to;
    char block[4096];
    size_t n;
    int status = 1;

    while ((n = fread(block, 1, sizeof block, stdin)) > 0) {
        buf_append(&page, block, n);
    }
    from = page.n == 0 ? NULL : memmem(page.p, page.n, begin, sizeof begin - 1);
    to = page.n == 0 ? NULL : memmem(page.p, page.n, end, sizeof end - 1);
    if (from == NULL || to == NULL || to < from) {
        fprintf(stderr, "protocol: the page has no marker lines\n");
    } else {
        buf_append(&out, page.p, (size_t)(from - page.p) + sizeof begin - 1);
        buf_u8(&out, '\n');
        command_markdown(&out);
        buf_append(&out, to, page.n - (size_t)(to - page.p));
        status = fwrite(out.p, 1, out.n, stdout) == out.n ? 0 : 1;
    }
    buf_release(&page);
    buf_release(&out);
    return status;
}
