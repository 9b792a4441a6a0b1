/* An impaired line with a book of its own: every packet's arrival and departure, in both directions.
 *
 *   relay LOG FRONT_HOST FRONT_PORT ROOM_HOST ROOM_PORT TOWARDS BACK [OTHER_PORT OTHER_FROM]
 *
 * Stands at FRONT_HOST:FRONT_PORT (RTP; RTCP at the next port) in front of rooms. The first caller is carried to the
 * room at ROOM_PORT, the next one (another source port) to ROOM_PORT + 2, …: each has a room, all share one address
 * and port. TOWARDS (the rooms) and BACK are rules such as "delay=20000,jitter=5000,loss=30,drop=65535+0":
 *
 *   delay=US jitter=US      each packet is held back so long; jitter evenly up to so much more, the order is kept
 *   loss=PERMILLE run=N     lost at random; N at least in a row
 *   twice=PERMILLE          sent a second time, up to 3 ms later
 *   hold=PERMILLE by=US     held back by so much more, so that later ones overtake
 *   drop= late= double=     the same for RTP packets with these sequence numbers, joined by +, once each
 *   seed=N
 *
 * RTCP is delayed like RTP and suffers nothing else. From the OTHER_FROM-th RTP packet back on, those packets leave
 * from OTHER_PORT. Shares no code with the package. Once it is told to end (SIGTERM), LOG has a line of each packet and
 * copy, in the order of leaving: direction (T, B), kind (rtp, rtcp), caller's port, arrival (kernel, CLOCK_REALTIME ns),
 * departure (times just before and after the kernel was asked, 0 if it was dropped), copy (0, 1), and the first bytes,
 * as far as they tell something, in hexadecimal digits.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 2048, CALLERS = 16, WAITING = 8192, NAMED = 16, TOLD = 128, TWICE_WITHIN_US = 3000 };

struct named {
    int count, used[NAMED];
    uint16_t seq[NAMED];
};

struct rules {
    int64_t delay_us, jitter_us, by_us;
    int loss, run, twice, hold, running;
    uint64_t chance;
    int64_t last_due;
    struct named drop, late, doubled;
};

struct packet {
    int64_t arrival, due, order;
    int back, rtcp, caller, copy, length;
    unsigned char data[SIZE];
};

struct caller {
    struct sockaddr_in rtp;
    int up[2]; /* sockets towards its room: RTP, RTCP */
};

static struct rules towards, backwards;
static struct caller callers[CALLERS];
static struct packet *waiting[WAITING];
static int caller_count, waiting_count, front[2], other = -1;
static int64_t order, sent_back, other_from;
static struct sockaddr_in room, own;
static FILE *book;
static volatile sig_atomic_t told_to_end;

static void end(int number) {
    (void)number;
    told_to_end = 1;
}

static void die(const char *what) {
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* xorshift64*: a run can be repeated. */
static uint64_t draw(struct rules *rules, uint64_t below) {
    rules->chance ^= rules->chance >> 12;
    rules->chance ^= rules->chance << 25;
    rules->chance ^= rules->chance >> 27;
    return below ? (rules->chance * 2685821657736338717ULL >> 16) % below : 0;
}

static void name(struct named *list, char *numbers) {
    for (char *rest = numbers, *one; (one = strsep(&rest, "+"));) {
        if (list->count == NAMED) exit(2);
        list->seq[list->count++] = atoi(one);
    }
}

static int is_named(struct named *list, uint16_t seq) {
    for (int i = 0; i < list->count; i++)
        if (list->seq[i] == seq && !list->used[i]) return list->used[i] = 1;
    return 0;
}

static struct rules parse(char *text, uint64_t seed) {
    struct rules rules = {.chance = seed, .run = 1, .by_us = 50000};
    for (char *rest = text, *one; (one = strsep(&rest, ","));) {
        char *value = strchr(one, '=');
        if (!*one) continue;
        if (!value) exit(2);
        *value++ = 0;
        if (!strcmp(one, "delay")) rules.delay_us = atoll(value);
        else if (!strcmp(one, "jitter")) rules.jitter_us = atoll(value);
        else if (!strcmp(one, "loss")) rules.loss = atoi(value);
        else if (!strcmp(one, "run")) rules.run = atoi(value);
        else if (!strcmp(one, "twice")) rules.twice = atoi(value);
        else if (!strcmp(one, "hold")) rules.hold = atoi(value);
        else if (!strcmp(one, "by")) rules.by_us = atoll(value);
        else if (!strcmp(one, "drop")) name(&rules.drop, value);
        else if (!strcmp(one, "late")) name(&rules.late, value);
        else if (!strcmp(one, "double")) name(&rules.doubled, value);
        else if (!strcmp(one, "seed")) rules.chance = strtoull(value, NULL, 10) * 0x9e3779b97f4a7c15ULL;
        else exit(2);
    }
    return rules;
}

static int bound(struct sockaddr_in where, int port) {
    int on = 1, size = 1 << 20, sock = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    where.sin_port = htons(port);
    if (sock < 0 || bind(sock, (struct sockaddr *)&where, sizeof where)) die("bind");
    setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return sock;
}

static void write_down(const struct packet *packet, int64_t before, int64_t after) {
    fprintf(book, "%c %s %d %ld %ld %ld %d ", packet->back ? 'B' : 'T', packet->rtcp ? "rtcp" : "rtp",
            ntohs(callers[packet->caller].rtp.sin_port), packet->arrival, before, after, packet->copy);
    for (int i = 0; i < packet->length && i < (packet->rtcp ? TOLD : 12); i++) fprintf(book, "%02x", packet->data[i]);
    fputc('\n', book);
}

static void pass_on(struct packet *packet) {
    struct caller *caller = &callers[packet->caller];
    struct sockaddr_in to = packet->back ? caller->rtp : room;
    int base = packet->back ? ntohs(to.sin_port) : ntohs(room.sin_port) + 2 * packet->caller;
    int sock = packet->back ? front[packet->rtcp] : caller->up[packet->rtcp];
    to.sin_port = htons(base + packet->rtcp);
    if (packet->back && !packet->rtcp && other >= 0 && sent_back++ >= other_from) sock = other;
    int64_t before = now_ns();
    if (sendto(sock, packet->data, packet->length, 0, (struct sockaddr *)&to, sizeof to) < 0) die("sendto");
    write_down(packet, before, now_ns());
    free(packet);
}

static void queue(struct packet *packet) {
    if (waiting_count == WAITING) {
        errno = ENOBUFS;
        die("queue");
    }
    packet->order = order++;
    waiting[waiting_count++] = packet;
}

static void judge(struct packet *packet) {
    struct rules *rules = packet->back ? &backwards : &towards;
    uint16_t seq = packet->data[2] << 8 | packet->data[3];
    if (!packet->rtcp) {
        int lost = is_named(&rules->drop, seq);
        if (rules->running > 0) {
            rules->running--;
            lost = 1;
        } else if ((int)draw(rules, 1000) < rules->loss) {
            rules->running = rules->run - 1;
            lost = 1;
        }
        if (lost) {
            write_down(packet, 0, 0);
            free(packet);
            return;
        }
    }
    int64_t due = packet->arrival + (rules->delay_us + (int64_t)draw(rules, rules->jitter_us + 1)) * 1000;
    int held = !packet->rtcp && (is_named(&rules->late, seq) || (int)draw(rules, 1000) < rules->hold);
    if (held) {
        due += rules->by_us * 1000;
    } else {
        if (due < rules->last_due) due = rules->last_due;
        rules->last_due = due;
    }
    packet->due = due;
    queue(packet);
    if (!packet->rtcp && (is_named(&rules->doubled, seq) || (int)draw(rules, 1000) < rules->twice)) {
        struct packet *copy = malloc(sizeof *copy);
        *copy = *packet;
        copy->copy = 1;
        copy->due += draw(rules, TWICE_WITHIN_US) * 1000;
        queue(copy);
    }
}

static int caller_of(struct sockaddr_in from, int rtcp) {
    from.sin_port = htons(ntohs(from.sin_port) - rtcp);
    for (int i = 0; i < caller_count; i++)
        if (callers[i].rtp.sin_port == from.sin_port && callers[i].rtp.sin_addr.s_addr == from.sin_addr.s_addr) return i;
    if (rtcp || caller_count == CALLERS) return -1;
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    struct caller *fresh = &callers[caller_count];
    fresh->rtp = from;
    /* A room sends its RTCP to the port after that of RTP: two neighbours are needed. */
    for (int port = 20000 + getpid() % 5000 * 2;; port += 2) {
        fresh->up[0] = socket(AF_INET, SOCK_DGRAM, 0);
        fresh->up[1] = socket(AF_INET, SOCK_DGRAM, 0);
        name = own;
        name.sin_port = htons(port);
        int first = bind(fresh->up[0], (struct sockaddr *)&name, length);
        name.sin_port = htons(port + 1);
        int second = bind(fresh->up[1], (struct sockaddr *)&name, length);
        close(fresh->up[0]);
        close(fresh->up[1]);
        if (first || second) continue;
        fresh->up[0] = bound(own, port);
        fresh->up[1] = bound(own, port + 1);
        return caller_count++;
    }
}

static void take(int sock, int back, int rtcp, int caller) {
    for (;;) {
        struct packet *packet = calloc(1, sizeof *packet);
        struct sockaddr_in from;
        unsigned char control[128];
        struct iovec part = {packet->data, SIZE};
        struct msghdr message = {&from, sizeof from, &part, 1, control, sizeof control, 0};
        packet->length = recvmsg(sock, &message, 0);
        if (packet->length < 0) {
            free(packet);
            if (errno == EAGAIN || errno == EINTR) return;
            if (errno == ECONNREFUSED) continue;
            die("recvmsg");
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
                struct timespec at;
                memcpy(&at, CMSG_DATA(c), sizeof at);
                packet->arrival = at.tv_sec * 1000000000LL + at.tv_nsec;
            }
        if (!packet->arrival) die("no timestamp");
        packet->back = back;
        packet->rtcp = rtcp;
        packet->caller = back ? caller : caller_of(from, rtcp);
        if (packet->caller < 0) {
            free(packet);
            continue;
        }
        judge(packet);
    }
}

static struct packet *next_due(int *place) {
    struct packet *first = NULL;
    for (int i = 0; i < waiting_count; i++)
        if (!first || waiting[i]->due < first->due || (waiting[i]->due == first->due && waiting[i]->order < first->order))
            first = waiting[*place = i];
    return first;
}

int main(int argc, char **argv) {
    if (argc != 8 && argc != 10) return 2;
    struct sched_param before_others = {.sched_priority = 2};
    sched_setscheduler(0, SCHED_RR, &before_others); /* a busy machine's delay is measured as well: no need, but a wish */
    prctl(PR_SET_TIMERSLACK, 1);
    signal(SIGTERM, end);
    if (!(book = fopen(argv[1], "w"))) die(argv[1]);
    own.sin_family = room.sin_family = AF_INET;
    if (!inet_aton(argv[2], &own.sin_addr) || !inet_aton(argv[4], &room.sin_addr)) return 2;
    room.sin_port = htons(atoi(argv[5]));
    front[0] = bound(own, atoi(argv[3]));
    front[1] = bound(own, atoi(argv[3]) + 1);
    towards = parse(argv[6], 88172645463325252ULL);
    backwards = parse(argv[7], 1181783497276652981ULL);
    if (argc == 10) {
        other = bound(own, atoi(argv[8]));
        other_from = atoll(argv[9]);
    }
    puts("ready");
    fflush(stdout);
    /* Told to end, it still takes what has come and lets go what it holds. */
    for (int ending = 0; !ending || waiting_count;) {
        ending = told_to_end;
        struct pollfd on[2 + 2 * CALLERS] = {{front[0], POLLIN, 0}, {front[1], POLLIN, 0}};
        for (int i = 0; i < 2 * caller_count; i++) on[2 + i] = (struct pollfd){callers[i / 2].up[i % 2], POLLIN, 0};
        int place = 0, known = caller_count;
        struct packet *first = next_due(&place);
        int64_t left = first ? first->due - now_ns() : 100000000;
        if (left < 0 || (ending && !first)) left = 0;
        struct timespec until = {left / 1000000000, left % 1000000000};
        if (ppoll(on, 2 + 2 * known, &until, NULL) > 0) {
            for (int i = 0; i < 2; i++)
                if (on[i].revents) take(front[i], 0, i, -1);
            for (int i = 0; i < 2 * known; i++)
                if (on[2 + i].revents) take(on[2 + i].fd, 1, i % 2, i / 2);
        }
        while ((first = next_due(&place)) && first->due <= now_ns()) {
            waiting[place] = waiting[--waiting_count];
            pass_on(first);
        }
    }
    if (fclose(book)) die(argv[1]);
    return 0;
}
