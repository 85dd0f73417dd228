// A tracker's side of MQTT 3.1.1 over TLS: connect, one message, acknowledged.
import { connect } from 'node:tls';

const text = (s) => {
  const bytes = Buffer.from(s);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};
function packet(type, ...parts) {
  const body = Buffer.concat(parts);
  const length = [];
  for (let n = body.length; ; n >>= 7) {
    length.push(n > 127 ? (n & 127) | 128 : n);
    if (n <= 127) break;
  }
  return Buffer.concat([Buffer.from([type, ...length]), body]);
}

/** The port of MQTT in a data folder's settings: the private broker's, or the door's. */
export function mqttPort(config) {
  const broker = /^\[broker\][^[]*?^port = (\d+)/ms.exec(config);
  return Number((broker ?? /^language = "mqtt"\nlisten = "[^"]*:(\d+)"/m.exec(config))[1]);
}

/** Sends a message as a tracker does; it is done when it is acknowledged (PUBACK). */
export function publish({ port, ca, ident, password, topic, payload }) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca, servername: 'localhost', timeout: 30_000 });
    let got = Buffer.alloc(0);
    const fail = (why) => {
      socket.destroy();
      reject(new Error(`${ident}: ${why}`));
    };
    socket.once('secureConnect', () =>
      // Clean session, user name and password; 60 s.
      socket.write(packet(0x10, text('MQTT'), Buffer.from([4, 0xc2, 0, 60]), text(ident), text(ident), text(password))));
    socket.on('data', (bytes) => {
      got = Buffer.concat([got, bytes]);
      while (got.length >= 4) {
        const [type, , a, b] = got;
        got = got.subarray(2 + got[1]);
        if (type === 0x20) {
          if (b !== 0) return fail(`refused, ${b}`);
          socket.write(packet(0x32, text(topic), Buffer.from([0, 1]), Buffer.from(payload)));
        } else if (type === 0x40 && a === 0) {
          socket.end(packet(0xe0));
          return resolve();
        }
      }
    });
    socket.once('timeout', () => fail('no answer'));
    socket.once('error', (error) => fail(error.message));
    socket.once('close', () => fail('closed'));
  });
}
