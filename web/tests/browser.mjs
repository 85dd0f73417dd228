// The page in a real browser, against the real server, as each role.
//
// RIDEGUARD_URL: the server. RIDEGUARD_LOGINS: its file of demonstration logins. CHROMIUM: the browser,
// if it is not where Debian puts it. RIDEGUARD_SCREENSHOTS: a folder for pictures of every page.
import { end } from './browser/harness.mjs';

// What needs no positions uses the time until the staged theft; what looks at tracks comes after it, when there are some.
// One after another: imports side by side would run side by side.
for (const part of ['sessions', 'tabs', 'states', 'refusals', 'incidents', 'fit', 'access', 'theft', 'owner', 'offices', 'marks']) await import(`./browser/${part}.mjs`);

await end();
