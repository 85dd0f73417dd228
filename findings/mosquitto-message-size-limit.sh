#!/bin/bash
# Mosquitto 2.0.11-1.2+deb12u2 (Debian 12, amd64) with `message_size_limit`, asked by mqtt.js 5.14.1.
#
# The manual says that messages above the limit "will not be accepted by the broker". A publisher who asks for QoS 1
# would expect an error, a broken connection, or at least no acknowledgement, so that it keeps its message.
# What happens by MQTT 3.1.1: the broker acknowledges the message with PUBACK and drops it. The publisher deletes its
# copy, the subscriber gets nothing, and the connection goes on. By MQTT 5 the PUBACK carries reason code 149 (packet
# too large), which MQTT 5, table 3-4, does not list for PUBACK: mqtt.js calls it invalid and leaves the publisher
# without an answer. `max_packet_size`, the other limit, ends the connection.
# A tracker with a large report of stored fixes loses it for good, and no counter of its own shows it.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${broker:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
# The broker and those of its libraries that a plain Debian lacks, unpacked and not installed.
apt-get download -q mosquitto=2.0.11-1.2+deb12u2 libdlt2=2.18.8-6 libwrap0=7.6.q-32 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" broker; done
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund mqtt@5.14.1
port=$(node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nmessage_size_limit 1000\n' "$port" >mosquitto.conf
chmod 644 mosquitto.conf
export LD_LIBRARY_PATH=$folder/broker/usr/lib/x86_64-linux-gnu
broker/usr/sbin/mosquitto -c mosquitto.conf 2>broker.log &
broker=$!
cat >try.mjs <<'JS'
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import mqtt from 'mqtt';

const url = `mqtt://127.0.0.1:${process.argv[2]}`;
async function client(protocolVersion) {
  for (let tries = 0; tries < 50; tries++) {
    const one = mqtt.connect(url, { protocolVersion, reconnectPeriod: 0 });
    const isIn = await Promise.race([once(one, 'connect').then(() => true), once(one, 'close').then(() => false)]);
    if (isIn) return one;
    await pause(100);
  }
  throw new Error('the broker does not start');
}
const reader = await client(4);
let heard = [];
reader.on('message', (topic, payload) => heard.push(payload.length));
await reader.subscribeAsync('report', { qos: 1 });
for (const version of [4, 5]) {
  for (const bytes of [900, 1100]) {
    heard = [];
    const tracker = await client(version);
    let said = 'no answer';
    tracker.on('packetreceive', (packet) => {
      if (packet.cmd === 'puback') said = `PUBACK, reason ${packet.reasonCode ?? 'none'}`;
    });
    tracker.on('error', (error) => (said = `error "${error.message}"`));
    tracker.publish('report', Buffer.alloc(bytes, 65), { qos: 1 }, () => {});
    await pause(700);
    console.log(`MQTT ${version === 4 ? '3.1.1' : '5'}, ${bytes} bytes: ${said}; heard: ${heard.length}; connected: ${tracker.connected}`);
    tracker.end(true);
  }
}
process.exit(0);
JS
timeout 60 node try.mjs "$port" | tee seen
diff - seen <<'SEEN' || { echo "Mosquitto behaves otherwise now" >&2; exit 1; }
MQTT 3.1.1, 900 bytes: PUBACK, reason none; heard: 1; connected: true
MQTT 3.1.1, 1100 bytes: PUBACK, reason none; heard: 0; connected: true
MQTT 5, 900 bytes: PUBACK, reason 0; heard: 1; connected: true
MQTT 5, 1100 bytes: error "Invalid puback reason code"; heard: 0; connected: true
SEEN
echo "as found: a message above message_size_limit is acknowledged and dropped"
