// A load for a language model's server on this machine: completions as streams, of as many clients as given, or at
// random moments. It shares the processors with the server, so it does no more than it must.
//
//   overload PORT SEED PROMPT_TOKENS NEW_TOKENS SECONDS closed COUNT
//   overload PORT SEED PROMPT_TOKENS NEW_TOKENS SECONDS poisson RATE
//
// The key comes in BENCH_KEY. Prints a line for each answer: its status, seconds to its first token (-1 without one), seconds to its end, and the
// moment of its end in seconds of the run. Ends with 1 where an answer is cut off or is neither 200 nor 503.
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    // No two prompts begin alike, so none is found in the cache.
    drawn = 8,
    connections = 4096,
    answer_bytes = 1 << 16,
};
// One that waited this long is not used again: the server may be closing it. Nothing at all for so long: it hangs.
static const double idle_seconds = 5, silent_seconds = 60;

typedef struct {
    int socket, status, is_busy;
    long size;
    size_t used;
    double begin, first, idle_since;
    char received[answer_bytes];
} connection;

static connection *all[connections];
static int count, idle[connections], idle_count, busy_count, poll_;
static int port, new_tokens;
static const char *key;
static char rest[4096];
static double began;

static void fail(const char *what) {
    fprintf(stderr, "error: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int connect_one(void) {
    if (count == connections) fail("more connections than the load generator has places for");
    connection *c = calloc(1, sizeof *c);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    if (!c || (c->socket = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("no socket");
    if (connect(c->socket, (struct sockaddr *)&address, sizeof address)) fail("the server takes no connection");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)count};
    epoll_ctl(poll_, EPOLL_CTL_ADD, c->socket, &event);
    all[count] = c;
    return count++;
}

static void send_one(void) {
    static char request[8192], body[6144];
    int number = -1;
    if (idle_count) {
        number = idle[--idle_count];
        if (now() - all[number]->idle_since > idle_seconds) {
            close(all[number]->socket);
            number = -1;
        }
    }
    if (number < 0) number = connect_one();
    connection *c = all[number];
    int length = snprintf(body, sizeof body,
        "{\"model\":\"llama\",\"max_tokens\":%d,\"temperature\":0,\"stream\":true,\"ignore_eos\":true,\"prompt\":[", new_tokens);
    for (int i = 0; i < drawn; ++i) {
        length += snprintf(body + length, sizeof body - (size_t)length, "%ld,", 300 + lrand48() % 30700);
    }
    length += snprintf(body + length, sizeof body - (size_t)length, "%s]}", rest);
    int whole = snprintf(request, sizeof request,
        "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, length, body);
    c->status = 0, c->size = 0, c->used = 0, c->first = -1, c->is_busy = 1, c->begin = now();
    ++busy_count;
    if (send(c->socket, request, (size_t)whole, MSG_NOSIGNAL) != whole) fail("a request could not be sent");
}

static int read_head(connection *c) {
    char *end = strstr(c->received, "\r\n\r\n");
    if (!end) return 0;
    c->status = atoi(c->received + 9);
    char *length = strcasestr(c->received, "\r\ncontent-length:"), *wait = strcasestr(c->received, "\r\nretry-after:");
    c->size = length && length < end ? end + 4 - c->received + atol(length + 17) : -1;
    if (c->status != 200 && c->status != 503) fail(c->received);
    if (c->status == 503 && !(wait && wait < end)) fail("a refusal without Retry-After");
    return 1;
}

// Takes what has come; whether the answer is whole.
static int read_one(connection *c) {
    ssize_t got = recv(c->socket, c->received + c->used, answer_bytes - 1 - c->used, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) fail("an answer was cut off, or is too long");
    size_t before = c->used;
    c->used += (size_t)got;
    c->received[c->used] = 0;
    if (!c->status && !read_head(c)) return 0;
    double moment = now();
    if (c->first < 0 && c->size < 0 && strstr(c->received + (before > 8 ? before - 8 : 0), "data: ")) {
        c->first = moment - c->begin;
    }
    int is_whole = c->size < 0 ? c->used >= 5 && !memcmp(c->received + c->used - 5, "0\r\n\r\n", 5)
                               : (long)c->used >= c->size;
    if (!is_whole) return 0;
    if (c->status == 200 && !strstr(c->received + (c->used > 64 ? c->used - 64 : 0), "data: [DONE]")) {
        fail("a stream was cut off");
    }
    printf("%d %.6f %.6f %.6f\n", c->status, c->first, moment - c->begin, moment - began);
    return 1;
}

// Reads what comes within so many seconds; how many answers are whole.
static int collect(double seconds) {
    struct epoll_event events[256];
    int found = epoll_wait(poll_, events, 256, seconds > 0 ? (int)ceil(seconds * 1000) : 0), done = 0;
    for (int i = 0; i < found; ++i) {
        connection *c = all[events[i].data.u32];
        if (!c->is_busy) {
            // The server closed one that lay idle; it is closed here before it is used again.
            epoll_ctl(poll_, EPOLL_CTL_DEL, c->socket, 0);
            c->idle_since = -idle_seconds;
        } else if (read_one(c)) {
            c->is_busy = 0, c->idle_since = now();
            idle[idle_count++] = (int)events[i].data.u32;
            --busy_count, ++done;
        }
    }
    return done;
}

int main(int argc, char **argv) {
    static char lines[1 << 20];
    if (argc != 8) fail("usage: overload PORT SEED PROMPT_TOKENS NEW_TOKENS SECONDS closed|poisson NUMBER");
    port = atoi(argv[1]), key = getenv("BENCH_KEY"), new_tokens = atoi(argv[4]);
    srand48(atol(argv[2]));
    double seconds = atof(argv[5]), number = atof(argv[7]);
    int prompt = atoi(argv[3]), is_closed = !strcmp(argv[6], "closed");
    if (!key) fail("BENCH_KEY is not set");
    if (prompt <= drawn || prompt > 512) fail("a prompt has 9 to 512 tokens here");
    setvbuf(stdout, lines, _IOFBF, sizeof lines);
    poll_ = epoll_create1(0);
    for (int i = 0, at = 0; i < prompt - drawn; ++i) {
        at += snprintf(rest + at, sizeof rest - (size_t)at, "%s%d", i ? "," : "", 300 + i);
    }
    began = now();
    // Clients that ask again as soon as they are answered begin at random moments too: those that began together would
    // end together for ever, which no load at random moments does.
    double gap = is_closed ? seconds / 5 / number : 1 / number, end = began + seconds, next = began;
    for (int to_begin = is_closed ? (int)number : -1; now() < end;) {
        if (to_begin && now() >= next) {
            send_one();
            --to_begin;
            next -= log(1 - drand48()) * gap;
        } else {
            int done = collect((to_begin && next < end ? next : end) - now());
            for (; is_closed && done > 0; --done) send_one();
        }
    }
    while (busy_count) {
        double before = now();
        if (!collect(silent_seconds) && now() - before >= silent_seconds) fail("nothing comes, and answers are missing");
    }
    return 0;
}
