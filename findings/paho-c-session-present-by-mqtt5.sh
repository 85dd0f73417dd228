#!/bin/bash
# Eclipse Paho C 1.3.12-1 (Debian 12, amd64; the library tells 1.3.11 of itself) with Mosquitto 2.0.11-1.2+deb12u2.
#
# MQTTClient_connect5 takes the same options as MQTTClient_connect, and both have a field `returned` with what CONNACK said: MQTT
# version and `sessionPresent`. An engineer who moves a tracker from MQTT 3.1.1 to 5 would expect the field to go on telling whether
# the broker has kept the session, for that decides whether to subscribe and to publish again what was in flight.
# What happens: by MQTT 3.1.1 the second connection with cleansession = 0 returns sessionPresent 1. By MQTT 5 with cleanstart = 0 and
# a session expiry the broker's CONNACK has the same flag set (the bytes below show it), and the field stays 0. A firmware that
# believes it subscribes anew and forgets or repeats what the session holds.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${broker:-}" "${relay:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
# The broker, the client and those of their libraries that a plain Debian lacks, unpacked and not installed.
apt-get download -q mosquitto=2.0.11-1.2+deb12u2 libdlt2=2.18.8-6 libwrap0=7.6.q-32 libpaho-mqtt1.3=1.3.12-1 libpaho-mqtt-dev=1.3.12-1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" unpacked; done
lib=$folder/unpacked/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$lib
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >mosquitto.conf
chmod 644 mosquitto.conf
unpacked/usr/sbin/mosquitto -c mosquitto.conf 2>broker.log &
broker=$!
# A relay that shows the flags of each CONNACK: what the broker really said.
cat >relay.py <<'PY'
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def pump(source, sink, is_broker):
    first = True
    while data := source.recv(65536):
        if is_broker and first and data[0] == 0x20:
            length = 2 if data[1] < 128 else 3
            with open("connacks", "a") as notes:
                notes.write(f"{data[length] & 1}\n")
        first = False
        sink.sendall(data)
    sink.close()
while True:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for pair in ((client, server, False), (server, client, True)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
PY
sleep 1
python3 relay.py "$port" >relay.port 2>/dev/null &
relay=$!
for _ in $(seq 50); do [ -s relay.port ] && break; sleep 0.1; done
cat >try.c <<'C'
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int version = atoi(argv[2]);
    for (int n = 1; n <= 2; n++) {
        MQTTClient client;
        MQTTClient_createOptions made = MQTTClient_createOptions_initializer;
        made.MQTTVersion = version;
        if (MQTTClient_createWithOptions(&client, argv[1], version == 5 ? "tracker5" : "tracker4", MQTTCLIENT_PERSISTENCE_NONE, NULL, &made)) return 1;
        MQTTClient_connectOptions four = MQTTClient_connectOptions_initializer;
        MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
        MQTTClient_connectOptions options = version == 5 ? five : four;
        int code;
        if (version == 5) {
            options.cleanstart = 0;
            MQTTProperties properties = MQTTProperties_initializer;
            MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, .value.integer4 = 600};
            MQTTProperties_add(&properties, &expiry);
            MQTTResponse response = MQTTClient_connect5(client, &options, &properties, NULL);
            code = response.reasonCode;
            MQTTResponse_free(response);
            MQTTProperties_free(&properties);
        } else {
            options.cleansession = 0;
            code = MQTTClient_connect(client, &options);
        }
        printf("MQTT %s, connection %d: code %d, sessionPresent %d\n", version == 5 ? "5" : "3.1.1", n, code, options.returned.sessionPresent);
        if (version == 5) MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL);
        else MQTTClient_disconnect(client, 1000);
        MQTTClient_destroy(&client);
    }
    return 0;
}
C
gcc -I unpacked/usr/include -o try try.c -L "$lib" -l:libpaho-mqtt3c.so.1.3.12 2>/dev/null ||
    gcc -I unpacked/usr/include -o try try.c -L "$lib" -lpaho-mqtt3c
{
    timeout 30 ./try "tcp://127.0.0.1:$(cat relay.port)" 4
    timeout 30 ./try "tcp://127.0.0.1:$(cat relay.port)" 5
    echo "flag in the four CONNACKs: $(tr '\n' ' ' <connacks | sed 's/ $//')"
} | tee seen
diff - seen <<'SEEN' || { echo "Paho C behaves otherwise now" >&2; exit 1; }
MQTT 3.1.1, connection 1: code 0, sessionPresent 0
MQTT 3.1.1, connection 2: code 0, sessionPresent 1
MQTT 5, connection 1: code 0, sessionPresent 0
MQTT 5, connection 2: code 0, sessionPresent 0
flag in the four CONNACKs: 0 1 0 1
SEEN
echo "as found: by MQTT 5 sessionPresent stays 0 whatever CONNACK says"
