// The page in a real browser, against the real server, as each role.
//
// RIDEGUARD_SETUP: the set-up address of a second, empty server. RIDEGUARD_SETUP_DATA: its data folder, for its broker. RIDEGUARD_URL: the server. RIDEGUARD_LOGINS: its file of demonstration logins. CHROMIUM: the browser,
// if it is not where Debian puts it. RIDEGUARD_GT06: the port of its door for GT06. RIDEGUARD_SCREENSHOTS: a folder for pictures of every page. RIDEGUARD_PARTS: some of the
// files below only, by their names.
import { end } from './browser/harness.mjs';

// What needs no positions uses the time until the staged theft; what looks at tracks comes after it, when there are some.
// One after another: imports side by side would run side by side.
const PARTS = ['sessions', 'entries', 'trackers', 'tabs', 'states', 'refusals', 'incidents', 'fit', 'access', 'belongings', 'theft', 'owner', 'offices', 'marks', 'people-in', 'registry', 'workbook', 'door', 'installer', 'listeners', 'positioning'];
for (const part of process.env.RIDEGUARD_PARTS?.split(' ') ?? PARTS) await import(`./browser/${part}.mjs`);

await end();
