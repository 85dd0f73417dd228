#!/bin/bash
# Mosquitto 2.0.11-1.2+deb12u2 (Debian 12, amd64) at SIGHUP, asked by mqtt.js 5.14.1.
#
# mosquitto(8) says that SIGHUP reloads the configuration file "if possible", mosquitto.conf(5) that the password file is
# "reloaded". Neither says what becomes of those who are connected. Most servers check a password when somebody comes in,
# so one would expect open connections to go on until they end by themselves, and a revocation to need another means.
# What happens: the broker keeps each connection's password in memory and checks all of them again, by PBKDF2, in the one
# thread that moves messages. Who was taken out, and whose password is another now, is disconnected at once. Who has the
# same password under a new salt stays, though the line in the file is another.
# So a reload revokes by itself; and it stands still for as long as it takes to hash the passwords of all who are there.
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
export LD_LIBRARY_PATH=$folder/broker/usr/lib/x86_64-linux-gnu
# passwd NAME PASSWORD...: writes the password file again, with a new salt for each.
passwd() {
    : >passwords
    chmod 644 passwords
    while [ $# -gt 0 ]; do
        broker/usr/bin/mosquitto_passwd -b passwords "$1" "$2"
        shift 2
    done
}
passwd stays first-word salted first-word changed first-word removed first-word
kept=$(grep '^stays:' passwords)
printf 'listener %s 127.0.0.1\nallow_anonymous false\npassword_file %s/passwords\n' "$port" "$folder" >mosquitto.conf
chmod 644 mosquitto.conf
broker/usr/sbin/mosquitto -c mosquitto.conf 2>broker.log &
broker=$!
cat >try.mjs <<'JS'
import { once } from 'node:events';
import { writeFileSync, existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import mqtt from 'mqtt';

const names = ['stays', 'salted', 'changed', 'removed'];
const clients = {};
for (const username of names) {
  for (let tries = 0; !clients[username] && tries < 50; tries++) {
    const one = mqtt.connect(`mqtt://127.0.0.1:${process.argv[2]}`, { username, password: 'first-word', reconnectPeriod: 0 });
    one.on('error', () => {});
    const isIn = await Promise.race([once(one, 'connect').then(() => true), once(one, 'close').then(() => false)]);
    if (isIn) clients[username] = one;
    else await pause(100);
  }
  if (!clients[username]) throw new Error('the broker does not start');
}
writeFileSync('connected', '');
while (!existsSync('reloaded')) await pause(50);
await pause(1500);
for (const name of names) console.log(`${name}: ${clients[name].connected ? 'connected' : 'disconnected'}`);
process.exit(0);
JS
timeout 60 node try.mjs "$port" >seen &
trying=$!
for _ in $(seq 200); do [ -e connected ] && break; sleep 0.1; done
[ -e connected ] || { echo "the broker does not start" >&2; cat broker.log >&2; exit 1; }
passwd salted first-word changed second-word
echo "$kept" >>passwords
kill -HUP "$broker"
touch reloaded
wait "$trying"
cat seen
diff - seen <<'SEEN' || { echo "Mosquitto behaves otherwise now" >&2; exit 1; }
stays: connected
salted: connected
changed: disconnected
removed: disconnected
SEEN
echo "as found: a reload checks the passwords of all who are connected"
