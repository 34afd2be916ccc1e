/* two_families.c - LD_PRELOADed: the name "two-families.test" has the addresses ::1 and 127.0.0.1,
 * in this order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int getaddrinfo_fn(const char *node, const char *service, const struct addrinfo *hints,
                           struct addrinfo **out);

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out)
{
    getaddrinfo_fn *real = (getaddrinfo_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || strcmp(node, "two-families.test") != 0)
        return real(node, service, hints, out);
    struct addrinfo *second;
    int rc = real("::1", service, hints, out);
    if (rc)
        return rc;
    rc = real("127.0.0.1", service, hints, &second);
    if (rc) {
        freeaddrinfo(*out);
        return rc;
    }
    struct addrinfo *last = *out;
    while (last->ai_next)
        last = last->ai_next;
    last->ai_next = second; /* freeaddrinfo goes through all of the list */
    return 0;
}
