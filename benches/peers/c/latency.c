/* rabbitmq-c with one ack each, as the rate's program has it, that notes when each message came. */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_BYTES = 131072, LONGEST_SECONDS = 60, MOST_ITEMS = 64 };

struct order {
    uint64_t id;
    char *customer;
    uint32_t items[MOST_ITEMS];
    size_t item_count;
    char *note;
};

struct sample {
    uint64_t stamp;
    uint64_t took;
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void die(const char *deed) {
    fprintf(stderr, "%s failed\n", deed);
    exit(1);
}

static const char *variable(const char *name) {
    const char *text = getenv(name);
    if (!text) die(name);
    return text;
}

/* All of it, owned, as a typed handler gets it. */
static uint64_t parse(amqp_bytes_t body) {
    struct order order = {0};
    cJSON *json = cJSON_ParseWithLength(body.bytes, body.len);
    if (!json) die("parsing");
    order.id = (uint64_t)cJSON_GetObjectItemCaseSensitive(json, "id")->valuedouble;
    order.customer = strdup(cJSON_GetObjectItemCaseSensitive(json, "customer")->valuestring);
    cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "items")) {
        if (order.item_count < MOST_ITEMS) order.items[order.item_count++] = (uint32_t)item->valuedouble;
    }
    order.note = strdup(cJSON_GetObjectItemCaseSensitive(json, "note")->valuestring);
    cJSON_Delete(json);
    free(order.customer);
    free(order.note);
    return order.id;
}

static void expect_normal(amqp_rpc_reply_t reply, const char *deed) {
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die(deed);
}

static amqp_connection_state_t connect_and_consume(const char *queue, uint16_t prefetch) {
    char *url = strdup(variable("AMQP_URL"));
    struct amqp_connection_info info;
    if (amqp_parse_url(url, &info) != AMQP_STATUS_OK) die("parsing AMQP_URL");
    amqp_connection_state_t state = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(state);
    if (amqp_socket_open(socket, info.host, info.port) != AMQP_STATUS_OK) die("connecting");
    expect_normal(
        amqp_login(state, info.vhost, 0, FRAME_BYTES, 0, AMQP_SASL_METHOD_PLAIN, info.user, info.password), "login");
    amqp_channel_open(state, 1);
    expect_normal(amqp_get_rpc_reply(state), "opening a channel");
    amqp_basic_qos(state, 1, 0, prefetch, 0);
    expect_normal(amqp_get_rpc_reply(state), "setting the prefetch");
    amqp_basic_consume(state, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    expect_normal(amqp_get_rpc_reply(state), "consuming");
    free(url);
    return state;
}

int main(void) {
    size_t messages = strtoul(variable("BENCH_MESSAGES"), NULL, 10);
    uint16_t prefetch = (uint16_t)atoi(variable("BENCH_PREFETCH"));
    struct sample *samples = calloc(messages, sizeof *samples);
    if (!samples) die("taking memory");
    alarm(LONGEST_SECONDS);
    amqp_connection_state_t state = connect_and_consume(variable("BENCH_QUEUES"), prefetch);
    for (size_t place = 0; place < messages; place++) {
        amqp_maybe_release_buffers(state);
        amqp_envelope_t envelope;
        expect_normal(amqp_consume_message(state, &envelope, NULL, 0), "consuming a message");
        uint64_t began = now();
        uint64_t stamp = parse(envelope.message.body);
        samples[place] = (struct sample){stamp, began > stamp ? began - stamp : 0};
        amqp_basic_ack(state, 1, envelope.delivery_tag, 0);
        amqp_destroy_envelope(&envelope);
    }
    /* A barrier: an answered call says that the acks before it have arrived. */
    amqp_basic_qos(state, 1, 0, prefetch, 0);
    expect_normal(amqp_get_rpc_reply(state), "the last call");

    FILE *file = fopen(variable("BENCH_SAMPLES"), "w");
    if (!file) die("opening the file for samples");
    for (size_t place = 0; place < messages; place++) {
        fprintf(file, "%" PRIu64 " %" PRIu64 "\n", samples[place].stamp, samples[place].took);
    }
    if (fclose(file)) die("writing the samples");
    return 0;
}
