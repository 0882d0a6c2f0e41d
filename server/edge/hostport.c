#include "server/edge/hostport.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

int hostport_split(const char *hostport,
                   char *host,
                   size_t host_max,
                   char *port,
                   size_t port_max)
{
    const char *colon = strrchr(hostport, ':');
    const char *from = hostport;
    size_t host_n;
    size_t port_n;

    if (colon == NULL) {
        return HF_EINVAL;
    }
    host_n = (size_t)(colon - hostport);
    if (host_n >= 2 && hostport[0] == '[' && colon[-1] == ']') {
        from++;
        host_n -= 2;
    } else if (memchr(hostport, ':', host_n) != NULL) {
        return HF_EINVAL; /* a v6 address needs its brackets */
    }
    port_n = strlen(colon + 1);
    if (host_n >= host_max || port_n == 0 || port_n >= port_max ||
        strspn(colon + 1, "0123456789") != port_n ||
        strtoul(colon + 1, NULL, 10) > 65535) {
        return HF_EINVAL;
    }
    memcpy(host, from, host_n);
    host[host_n] = '\0';
    memcpy(port, colon + 1, port_n + 1);
    return 0;
}
