// rabbitmq-c alone: a loop that parses each message into a struct of its own and acks one by one, or one ack for several.
// What it is to do comes in the environment, what it cost goes out in one line: see README.md beside this folder.

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { CHANNEL = 1, FRAME_MAX = 131072 };

struct order {
    uint64_t id;
    char *customer;
    uint32_t *items;
    size_t item_count;
    char *note;
};

struct moment {
    double seconds;
    double cpu_seconds;
    long voluntary_switches;
    long involuntary_switches;
};

static void give_up(const char *what) {
    fprintf(stderr, "drain.c: %s\n", what);
    exit(1);
}

static const char *variable(const char *name) {
    const char *value = getenv(name);
    if (value == NULL || *value == '\0') give_up(name);
    return value;
}

static long number_from(long least, const char *name) {
    char *end;
    long value = strtol(variable(name), &end, 10);
    if (*end != '\0' || value < least) give_up(name);
    return value;
}

static long number(const char *name) {
    return number_from(1, name);
}

static void *or_give_up(void *memory) {
    if (memory == NULL) give_up("out of memory");
    return memory;
}

// --- what is measured ---

static struct moment now(void) {
    struct timespec clock;
    struct rusage usage;
    if (clock_gettime(CLOCK_MONOTONIC, &clock) != 0 || getrusage(RUSAGE_SELF, &usage) != 0) give_up("no clock");
    double user = usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6;
    double system = usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6;
    return (struct moment){clock.tv_sec + clock.tv_nsec / 1e9, user + system, usage.ru_nvcsw, usage.ru_nivcsw};
}

// From /proc, because getrusage also counts what the parent had when it forked.
static long peak_kib(void) {
    char line[256];
    long peak = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) return 0;
    while (fgets(line, sizeof line, status) != NULL) {
        if (sscanf(line, "VmHWM: %ld", &peak) == 1) break;
    }
    fclose(status);
    return peak;
}

static void tell(struct moment before, struct moment after) {
    printf("%.6f %.6f %ld %ld %ld\n", after.seconds - before.seconds, after.cpu_seconds - before.cpu_seconds, peak_kib(),
           after.voluntary_switches - before.voluntary_switches, after.involuntary_switches - before.involuntary_switches);
}

// --- the message ---

static const cJSON *field(const cJSON *json, const char *name, cJSON_bool (*is_kind)(const cJSON *)) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, name);
    if (!is_kind(value)) give_up("a message is not the suite's JSON");
    return value;
}

static struct order parsed(amqp_bytes_t body) {
    cJSON *json = cJSON_ParseWithLength(body.bytes, body.len);
    if (json == NULL) give_up("a message is not JSON");
    const cJSON *items = field(json, "items", cJSON_IsArray);
    struct order order = {
        .id = (uint64_t)field(json, "id", cJSON_IsNumber)->valuedouble,
        .customer = or_give_up(strdup(field(json, "customer", cJSON_IsString)->valuestring)),
        .items = or_give_up(malloc(sizeof(uint32_t) * (size_t)(cJSON_GetArraySize(items) + 1))),
        .note = or_give_up(strdup(field(json, "note", cJSON_IsString)->valuestring)),
    };
    const cJSON *item;
    cJSON_ArrayForEach(item, items) {
        order.items[order.item_count++] = (uint32_t)item->valuedouble;
    }
    cJSON_Delete(json);
    return order;
}

static void release(struct order order) {
    free(order.customer);
    free(order.items);
    free(order.note);
}

// --- the broker ---

static void check(amqp_rpc_reply_t reply, const char *what) {
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) give_up(what);
}

static amqp_connection_state_t connected(void) {
    static struct amqp_connection_info info;
    if (amqp_parse_url(or_give_up(strdup(variable("AMQP_URL"))), &info) != AMQP_STATUS_OK) give_up("AMQP_URL");
    amqp_connection_state_t connection = or_give_up(amqp_new_connection());
    amqp_socket_t *socket = or_give_up(amqp_tcp_socket_new(connection));
    if (amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK) give_up("the broker does not answer");
    check(amqp_login(connection, info.vhost, 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, info.user, info.password), "login");
    amqp_channel_open(connection, CHANNEL);
    check(amqp_get_rpc_reply(connection), "channel.open");
    return connection;
}

static void limit_prefetch(amqp_connection_state_t connection, long prefetch) {
    amqp_basic_qos(connection, CHANNEL, 0, (uint16_t)prefetch, 0);
    check(amqp_get_rpc_reply(connection), "basic.qos");
}

static void consume(amqp_connection_state_t connection, const char *names) {
    char *rest = or_give_up(strdup(names));
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(name), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
        check(amqp_get_rpc_reply(connection), "basic.consume");
    }
}

// Where only the middle of it is measured, all but the first and the last `skipped`, this sets those moments anew.
static void drain(amqp_connection_state_t connection, long messages, long ack_every, long skipped, struct moment span[2]) {
    const int is_multiple = ack_every > 1;
    for (long handled = 1; handled <= messages; handled++) {
        amqp_envelope_t envelope;
        amqp_maybe_release_buffers(connection);
        check(amqp_consume_message(connection, &envelope, NULL, 0), "no message came");
        release(parsed(envelope.message.body));
        if (handled % ack_every == 0 || handled == messages) {
            int status = amqp_basic_ack(connection, CHANNEL, envelope.delivery_tag, is_multiple);
            if (status != AMQP_STATUS_OK) give_up("basic.ack");
        }
        amqp_destroy_envelope(&envelope);
        if (skipped > 0 && handled == skipped) span[0] = now();
        if (skipped > 0 && handled == messages - skipped) span[1] = now();
    }
}

int main(void) {
    const long messages = number("BENCH_MESSAGES"), prefetch = number("BENCH_PREFETCH");
    const long skipped = number_from(0, "BENCH_SKIPPED");
    if (strcmp(variable("BENCH_HANDLER"), "nothing") != 0) give_up("this handler does nothing");
    amqp_connection_state_t connection = connected();
    limit_prefetch(connection, prefetch);
    struct moment span[2] = {now()};
    consume(connection, variable("BENCH_QUEUES"));
    drain(connection, messages, number("BENCH_ACK_EVERY"), skipped, span);
    // A barrier: an answered call says that the acks before it have arrived.
    limit_prefetch(connection, prefetch);
    if (skipped == 0) span[1] = now();
    check(amqp_connection_close(connection, AMQP_REPLY_SUCCESS), "connection.close");
    amqp_destroy_connection(connection);
    tell(span[0], span[1]);
    return 0;
}
