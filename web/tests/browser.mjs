// The page in a real browser, against the real server, as each role.
//
// RIDEGUARD_URL: the server. RIDEGUARD_LOGINS: its file of demonstration logins. CHROMIUM: the browser,
// if it is not where Debian puts it. RIDEGUARD_SCREENSHOTS: a folder for pictures of every page.
import { end } from './browser/harness.mjs';

// The theft is staged half a minute after the start; the other facts use that time. One after another: importing
// them side by side would run them side by side.
for (const part of ['sessions', 'owner', 'offices', 'states', 'access', 'theft']) await import(`./browser/${part}.mjs`);

await end();
