#!/bin/bash
# npm package gt06 1.0.12 (2026-08-23), run by node on two GT06 packets that came in one read.
#
# GT06 trackers speak TCP, so one read may hold several packets; trackers that come out of a tunnel send
# their stored fixes that way. The package cuts such a read rightly and documents `msgBuffer` for it, one entry a packet.
# What a reader would expect: the first entry is the first fix, the second entry the second.
# What happens: both entries are one object. The first fix is gone, and the last one is told twice. A log-in and a
# fix in one read end as two entries without the IMEI, so the fix belongs to nobody.
# Whoever stores `msgBuffer` keeps as many rows as packets came, and sees nothing missing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund gt06@1.0.12
cat >try.js <<'JS'
const Gt06 = require('gt06');

// CRC-ITU (ISO/IEC 13239, X.25), as the GT06 protocol asks for.
function crc(bytes) {
  let value = 0xffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x8408 : value >>> 1;
  }
  return ~value & 0xffff;
}
function packet(protocol, content, serial) {
  const body = Buffer.concat([Buffer.from([content.length + 5, protocol]), content, Buffer.from([serial >> 8, serial & 255])]);
  const check = crc(body);
  return Buffer.concat([Buffer.from([0x78, 0x78]), body, Buffer.from([check >> 8, check & 255, 0x0d, 0x0a])]);
}
// Location, 0x12: time, satellites, latitude and longitude in 1/30000 of a minute, speed, course and flags, cell.
function location(minute, lat, lon, serial) {
  const content = Buffer.alloc(26);
  Buffer.from([26, 11, 20, 8, minute, 0, 0xc9]).copy(content);
  content.writeUInt32BE(Math.round(lat * 1800000), 7);
  content.writeUInt32BE(Math.round(lon * 1800000), 11);
  content[15] = 20;
  content.writeUInt16BE(0x1400 | 90, 16); // with a fix, north, east, course 90
  content.writeUInt16BE(460, 18);
  content.writeUInt16BE(0x1234, 21);
  return packet(0x12, content, serial);
}
const seen = (read, show) => {
  const parser = new Gt06();
  parser.parse(read);
  return parser.msgBuffer.map(show);
};
const place = (m) => `${m.fixTime.slice(11, 16)} ${m.lat} ${m.lon}`;
const [first, second] = [location(1, 10.5, 20.25, 1), location(2, 11.5, 21.25, 2)];
const login = packet(0x01, Buffer.from('0860000000000001', 'hex'), 3);

console.log('alone:', JSON.stringify([...seen(first, place), ...seen(second, place)]));
console.log('together:', JSON.stringify(seen(Buffer.concat([first, second]), place)));
console.log('log-in alone:', JSON.stringify(seen(login, (m) => m.imei)));
console.log('log-in and fix together:', JSON.stringify(seen(Buffer.concat([login, first]), (m) => m.imei)));
JS
node try.js | tee seen
diff - seen <<'SEEN' || { echo "gt06 1.0.12 behaves otherwise now" >&2; exit 1; }
alone: ["08:01 10.5 20.25","08:02 11.5 21.25"]
together: ["08:02 11.5 21.25","08:02 11.5 21.25"]
log-in alone: [860000000000001]
log-in and fix together: [null,null]
SEEN
echo "as found: of two packets in one read, the package tells the last one twice"
