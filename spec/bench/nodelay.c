/* nodelay.c - preloaded into a peer of `./dev bench` that does not let its user set TCP_NODELAY
 * (the AWS SDK on Node): sets it on each TCP socket that connects. Without it the peer spends its
 * time in waiting for delayed ACKs, and a comparison with it would say nothing.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *address,
                                                   socklen_t length)
{
    int on = 1;
    if (address->sa_family == AF_INET || address->sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return (int)syscall(SYS_connect, fd, address, length);
}
