/* The far end of the media benchmark: sends each datagram back from the address and port it came to.
 *
 *   reflector PORT [sink]
 *
 * Listens on all addresses; PORT + 1 (RTCP) is read and dropped; with "sink" PORT is only counted too. For each line on
 * standard input it prints one JSON line of what happened since the last one: received, reflected, dropped (by its
 * kernel buffer or refused when sending) and late_us, the longest time a datagram waited here. It ends with its input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, SIZE = 1536, CONTROL = 128, BUFFER = 16 << 20 };

static struct mmsghdr in[BATCH], out[BATCH];
static struct iovec in_parts[BATCH], out_parts[BATCH];
static struct sockaddr_in names[BATCH];
static unsigned char data[BATCH][SIZE];
static unsigned char in_control[BATCH][CONTROL] __attribute__((aligned(8)));
static unsigned char out_control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))] __attribute__((aligned(8)));
static uint64_t received, reflected, dropped, late_us;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int open_port(int port) {
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, size = BUFFER;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (sock < 0 || bind(sock, (struct sockaddr *)&name, sizeof name)) die("reflector: bind");
    if (setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
        setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size))
        setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(sock, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    setsockopt(sock, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    return sock;
}

/* Returns whether more may wait. */
static int take(int sock, int reflect, uint32_t *overflow) {
    struct timespec now;
    for (int i = 0; i < BATCH; i++) {
        in[i].msg_hdr.msg_namelen = sizeof names[i];
        in[i].msg_hdr.msg_controllen = CONTROL;
    }
    int count = recvmmsg(sock, in, BATCH, 0, NULL);
    if (count <= 0) return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < count; i++) {
        struct msghdr *message = &in[i].msg_hdr;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
                struct timespec *at = (struct timespec *)CMSG_DATA(c);
                int64_t waited = (now.tv_sec - at->tv_sec) * 1000000 + (now.tv_nsec - at->tv_nsec) / 1000;
                if (waited > (int64_t)late_us) late_us = waited;
            } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
                uint32_t told = *(uint32_t *)CMSG_DATA(c);
                dropped += told - *overflow;
                *overflow = told;
            } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
                struct in_pktinfo *came = (struct in_pktinfo *)CMSG_DATA(c);
                struct in_pktinfo *from = (struct in_pktinfo *)CMSG_DATA((struct cmsghdr *)out_control[i]);
                from->ipi_spec_dst = came->ipi_addr;
            }
        }
        out_parts[i].iov_len = in[i].msg_len;
    }
    if (!reflect) return count == BATCH;
    received += count;
    if (reflect < 0) return count == BATCH;
    for (int done = 0; done < count;) {
        int sent = sendmmsg(sock, out + done, count - done, 0);
        if (sent > 0) {
            done += sent;
            reflected += sent;
        } else if (errno != EINTR && errno != ECONNREFUSED) {
            done++;
            dropped++;
        }
    }
    return count == BATCH;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    int port = atoi(argv[1]), reflect = argc > 2 && !strcmp(argv[2], "sink") ? -1 : 1;
    struct sched_param first = {.sched_priority = 10};
    sched_setscheduler(0, SCHED_RR, &first);
    for (int i = 0; i < BATCH; i++) {
        in_parts[i] = (struct iovec){data[i], SIZE};
        out_parts[i] = (struct iovec){data[i], 0};
        in[i].msg_hdr = (struct msghdr){&names[i], sizeof names[i], &in_parts[i], 1, in_control[i], CONTROL, 0};
        out[i].msg_hdr =
            (struct msghdr){&names[i], sizeof names[i], &out_parts[i], 1, out_control[i], sizeof out_control[i], 0};
        struct cmsghdr *c = (struct cmsghdr *)out_control[i];
        *c = (struct cmsghdr){CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO};
    }
    uint32_t overflow[2] = {0, 0};
    struct pollfd waits[3] = {{open_port(port), POLLIN, 0}, {open_port(port + 1), POLLIN, 0}, {0, POLLIN, 0}};
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (poll(waits, 3, -1) < 0 && errno != EINTR) die("reflector: poll");
        if (waits[0].revents)
            for (int rounds = 0; rounds < 16 && take(waits[0].fd, reflect, &overflow[0]); rounds++);
        if (waits[1].revents) take(waits[1].fd, 0, &overflow[1]);
        if (waits[2].revents) {
            char line[64];
            if (read(0, line, sizeof line) <= 0) return 0;
            printf("{\"received\": %lu, \"reflected\": %lu, \"dropped\": %lu, \"late_us\": %lu}\n", received, reflected,
                   dropped, late_us);
            fflush(stdout);
            received = reflected = dropped = late_us = 0;
        }
    }
}
