/* What the machine can do: a bare sendmmsg/recvmmsg loop with the media engine's load, and nothing kept of it.
 *
 *   loop PORT CALLS TICK_US WARM_MS MEASURE_MS SOCKETS
 *
 * CALLS destinations 127.1.0.1, 127.1.0.2, …, each sent 172 bytes (RTP, 20 ms of G.711) 50 times a second, in ticks of
 * TICK_US over which the calls are spread; what comes back is read after each tick, with kernel timestamps on. Prints
 * one JSON line of the measured time: sent, received, cpu_seconds (of this process), late_us (the latest tick).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { SIZE = 172, ROOM = 1536, CONTROL = 64, CAPACITY = 1024, INTERVAL_US = 20000, BUFFER = 4 << 20 };

static int64_t clock_ns(clockid_t which) {
    struct timespec at;
    clock_gettime(which, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    int port = atoi(argv[1]), calls = atoi(argv[2]), tick_us = atoi(argv[3]), sockets = atoi(argv[6]);
    int64_t warm = atoll(argv[4]) * 1000000, measure = atoll(argv[5]) * 1000000;
    struct sched_param first = {.sched_priority = 10};
    sched_setscheduler(0, SCHED_RR, &first);
    prctl(PR_SET_TIMERSLACK, 1);

    int fds[1024];
    if (sockets > 1024) return 2;
    for (int s = 0; s < sockets; s++) {
        int on = 1, size = BUFFER;
        struct sockaddr_in any = {.sin_family = AF_INET};
        fds[s] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (fds[s] < 0 || bind(fds[s], (struct sockaddr *)&any, sizeof any)) die("loop: bind");
        if (setsockopt(fds[s], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size))
            setsockopt(fds[s], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        if (setsockopt(fds[s], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size))
            setsockopt(fds[s], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        setsockopt(fds[s], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    }

    unsigned char(*packets)[SIZE] = calloc(calls, SIZE), (*data)[ROOM] = calloc(CAPACITY, ROOM);
    unsigned char(*control)[CONTROL] = calloc(CAPACITY, CONTROL);
    struct sockaddr_in *to = calloc(calls, sizeof *to), *from = calloc(CAPACITY, sizeof *from);
    struct iovec *out_parts = calloc(calls, sizeof *out_parts), *in_parts = calloc(CAPACITY, sizeof *in_parts);
    struct mmsghdr *out = calloc(calls, sizeof *out), *in = calloc(CAPACITY, sizeof *in);
    uint16_t *seq = calloc(calls, sizeof *seq);
    uint32_t *timestamp = calloc(calls, sizeof *timestamp);
    for (int i = 0; i < calls; i++) {
        memset(packets[i], 0xff, SIZE);
        packets[i][0] = 0x80;
        packets[i][1] = 0;
        uint32_t ssrc = htonl(i + 1);
        memcpy(packets[i] + 8, &ssrc, 4);
        to[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        to[i].sin_addr.s_addr = htonl(0x7f010000u + (i / 250 << 8) + i % 250 + 1);
        out_parts[i] = (struct iovec){packets[i], SIZE};
        out[i].msg_hdr = (struct msghdr){&to[i], sizeof to[i], &out_parts[i], 1, NULL, 0, 0};
    }
    for (int i = 0; i < CAPACITY; i++) {
        in_parts[i] = (struct iovec){data[i], ROOM};
        in[i].msg_hdr = (struct msghdr){&from[i], sizeof from[i], &in_parts[i], 1, control[i], CONTROL, 0};
    }

    int slots = INTERVAL_US / tick_us, slot = 0, measuring = 0;
    uint64_t sent = 0, received = 0, stamped = 0;
    int64_t cpu = 0, late = 0, start = clock_ns(CLOCK_MONOTONIC), next = start;
    for (;;) {
        int64_t now = clock_ns(CLOCK_MONOTONIC);
        if (!measuring && now - start >= warm) {
            measuring = 1;
            sent = received = late = 0;
            cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        }
        if (measuring && now - start >= warm + measure) break;
        if (now - next > late) late = now - next;
        for (int s = 0; s < sockets; s++) {
            /* Each socket has a block of calls, and in it each slot a block. */
            int low = (int64_t)calls * s / sockets, count = (int64_t)calls * (s + 1) / sockets - low;
            int at = low + count * slot / slots, end = low + count * (slot + 1) / slots;
            for (int i = at; i < end; i++) {
                uint16_t number = htons(seq[i]++);
                uint32_t stamp = htonl(timestamp[i]);
                timestamp[i] += 160;
                memcpy(packets[i] + 2, &number, 2);
                memcpy(packets[i] + 4, &stamp, 4);
            }
            while (at < end) {
                int done = sendmmsg(fds[s], out + at, end - at < CAPACITY ? end - at : CAPACITY, 0);
                if (done > 0) {
                    at += done;
                    sent += done;
                } else if (errno != EINTR && errno != ECONNREFUSED) {
                    break;
                }
            }
        }
        slot = (slot + 1) % slots;
        for (int s = 0; s < sockets; s++) {
            int count;
            do {
                count = recvmmsg(fds[s], in, CAPACITY, 0, NULL);
                for (int i = 0; i < count; i++) {
                    struct cmsghdr *c = CMSG_FIRSTHDR(&in[i].msg_hdr);
                    stamped += c && c->cmsg_type == SO_TIMESTAMPNS;
                    in[i].msg_hdr.msg_controllen = CONTROL;
                    in[i].msg_hdr.msg_namelen = sizeof from[i];
                }
                if (count > 0) received += count;
            } while (count == CAPACITY);
        }
        next += tick_us * 1000LL;
        struct timespec until = {next / 1000000000LL, next % 1000000000LL};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"sent\": %lu, \"received\": %lu, \"cpu_seconds\": %.6f, \"late_us\": %ld}\n", sent, received, cpu / 1e9,
           late / 1000);
    return stamped == 0;
}
