/* Eclipse Paho's C client at the door. Steps, arguments and words: tests/system/door_clients.rs. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAYLOADS_MAX 500
#define IDS 65536

static char *payloads[PAYLOADS_MAX];
static int count, is_5;
static volatile int number_of[IDS]; /* packet id -> number of the payload, from 1 */
static volatile int acknowledged, ended;
static volatile char is_early[IDS]; /* acknowledged before its number was known */

static void delivered(void *context, MQTTClient_deliveryToken id) {
    (void)context;
    if (number_of[id]) {
        printf("acknowledged %d\n", number_of[id] - 1);
        number_of[id] = 0;
    } else {
        is_early[id] = 1;
    }
    acknowledged++;
}

static int arrived(void *context, char *topic, int length, MQTTClient_message *message) {
    (void)context;
    (void)length;
    printf("heard %s %.*s\n", topic, message->payloadlen, (char *)message->payload);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void lost(void *context, char *cause) {
    (void)context;
    (void)cause;
    ended = 1;
}

static int publish(MQTTClient client, const char *topic, int number, int qos) {
    int id = 0, code;
    char *text = payloads[number];
    if (is_5) {
        MQTTResponse told = MQTTClient_publish5(client, topic, (int)strlen(text), text, qos, 0, NULL, &id);
        code = told.reasonCode;
        MQTTResponse_free(told);
    } else {
        code = MQTTClient_publish(client, topic, (int)strlen(text), text, qos, 0, &id);
    }
    if (code == MQTTCLIENT_SUCCESS && qos == 0) {
        printf("acknowledged %d\n", number);
    } else if (code == MQTTCLIENT_SUCCESS && is_early[id]) {
        is_early[id] = 0;
        printf("acknowledged %d\n", number);
    } else if (code == MQTTCLIENT_SUCCESS) {
        number_of[id] = number + 1;
    }
    return code;
}

int main(int argc, char **argv) {
    if (argc != 11) {
        return 2;
    }
    const char *step = argv[1], *up = argv[7], *other_up = argv[8];
    char *filters[2] = {argv[9], argv[10]};
    int keeps = strcmp(step, "keep") == 0;
    is_5 = strcmp(argv[2], "5") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[4096];
    while (count < PAYLOADS_MAX && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        payloads[count++] = strdup(line);
    }

    char address[64];
    snprintf(address, sizeof address, "ssl://localhost:%s", argv[3]);
    MQTTClient client;
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = is_5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    MQTTClient_createWithOptions(&client, address, "paho-c", MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    MQTTClient_setCallbacks(client, NULL, lost, arrived, delivered);

    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
    tls.trustStore = argv[4];
    tls.verify = 1;
    MQTTClient_connectOptions of_311 = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions of_5 = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions options = is_5 ? of_5 : of_311;
    options.MQTTVersion = create.MQTTVersion;
    options.username = argv[5];
    options.password = strcmp(step, "refused") == 0 ? "wrong" : argv[6];
    options.keepAliveInterval = 5;
    options.ssl = &tls;
    if (is_5) {
        options.cleanstart = !keeps;
    } else {
        options.cleansession = !keeps;
    }
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = 600};
    if (keeps) {
        MQTTProperties_add(&properties, &expiry);
    }

    /* Connects, and again whenever the connection is gone, until everything was acknowledged. */
    int next = 0, connections = 0;
    for (int turn = 0; turn < 600; turn++) {
        if (!MQTTClient_isConnected(client)) {
            int code, present;
            if (is_5) {
                MQTTResponse told = MQTTClient_connect5(client, &options, &properties, NULL);
                code = told.reasonCode;
                MQTTResponse_free(told);
                present = -1; /* with MQTT 5, version 1.3.11 says 0 whatever CONNACK says */
            } else {
                code = MQTTClient_connect(client, &options);
                present = options.returned.sessionPresent;
            }
            if (code == MQTTCLIENT_SUCCESS) {
                printf("present %d\n", present);
                connections++;
            } else if (!keeps) {
                printf("refused %d\n", code);
                return 0;
            } else {
                usleep(500000);
                continue;
            }
        }
        if (!keeps) {
            break;
        }
        if (next < count && publish(client, up, next, 1 + next % 2) == MQTTCLIENT_SUCCESS) {
            next++;
        }
        if (acknowledged >= count) {
            break;
        }
        usleep(100000);
    }
    if (strcmp(step, "talk") == 0) {
        int asked[2] = {1, 1};
        if (is_5) {
            MQTTResponse told = MQTTClient_subscribeMany5(client, 2, filters, asked, NULL, NULL);
            for (int n = 0; n < told.reasonCodeCount; n++) {
                printf("granted %d\n", told.reasonCodes ? (int)told.reasonCodes[n] : (int)told.reasonCode);
            }
            MQTTResponse_free(told);
        } else {
            MQTTClient_subscribeMany(client, 2, filters, asked);
            printf("granted %d\ngranted %d\n", asked[0], asked[1]);
        }
        for (int n = 0; n < 3; n++) {
            publish(client, up, n, n);
        }
        sleep(9); /* longer than 1.5 times the keep-alive */
        publish(client, up, 3, 1);
        usleep(3000000); /* an answer may come a second late */
    } else if (strcmp(step, "foreign") == 0) {
        publish(client, other_up, 0, 1);
        for (int n = 0; n < 100 && !ended; n++) {
            usleep(100000);
        }
        if (ended) {
            printf("ended\n");
        }
    }
    MQTTClient_disconnect(client, 1000);
    MQTTClient_destroy(&client);
    return 0;
}
