/* "host:port" in words of flags, settings and peers. Pure. */
#ifndef HF_SERVER_EDGE_HOSTPORT_H
#define HF_SERVER_EDGE_HOSTPORT_H

#include <stddef.h>

/* "host:port", "[v6]:port" or ":port" into its two halves (brackets gone).
 * HF_EINVAL, and nothing written, for anything else: a bare v6 address, a
 * port beyond 65535, a half that does not fit. */
int hostport_split(const char *hostport,
                   char *host,
                   size_t host_max,
                   char *port,
                   size_t port_max);

#endif
