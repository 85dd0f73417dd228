// A tracker of a test's own, from its batch to its packets.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { call, sessions } from './harness.mjs';
import { mqttPort, publish } from './mqtt.mjs';

/** Where the phone is. */
export const HERE = { latitude: 28.55, longitude: 112.35 };
/** Another at each run. */
export const RUN = String(Date.now() % 100_000).padStart(5, '0');

let made = 0;
/** A tracker that nobody has fitted, with its password and label. */
export async function tracker() {
  const token = sessions.get('operator');
  const body = { protocol: 'json', model: 'test', batch: `door-${RUN}`, idents: [`door${RUN}${made++}`] };
  const { credentials } = await call('POST', '/tracker-batches', token, body);
  return credentials[0];
}

const folder = dirname(process.env.RIDEGUARD_LOGINS ?? 'data/demo-logins');
let server;
function serverOf() {
  const config = readFileSync(join(folder, 'rideguard.toml'), 'utf8');
  server ??= { port: mqttPort(config), ca: readFileSync(join(folder, 'ca.pem')) };
  return server;
}

/** What a tracker says now, so many metres to the east. */
export async function says({ ident, password, topic }, { east_m = 0, speed = 0, alarms = [], ...status } = {}) {
  const fix = { t: Date.now(), lat: HERE.latitude, lon: HERE.longitude + east_m / 97_800, speed, course: 90, satellites: 11 };
  const payload = JSON.stringify({ v: 1, id: ident, fixes: [fix], status: { battery: 87, signal: 71, external_power: true, ...status }, alarms });
  // RideGuard's door, or the broker, learns of a new tracker within two seconds.
  for (let n = 0; ; n++) {
    try {
      return await publish({ ...serverOf(), ident, password, topic, payload });
    } catch (error) {
      if (n > 40) throw error;
      await pause(250);
    }
  }
}
