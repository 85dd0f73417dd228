// People come in by the page alone: the first start, an invitation on a phone, the second step of a log-in.
import { createHmac } from 'node:crypto';
import { accessible, fact, must, picture, setUpAddress, visit } from './harness.mjs';

const PASSWORD = 'seven herons over Zijiang';
const at = setUpAddress;
const origin = at && new URL(at).origin;
/** How people and the server refuse each other here: a password without its second step, a link that is used up. */
const expected = /status of (401|404)/;

/** The code of so many steps from now, as an authenticator shows it (RFC 6238). */
function codeOf(secret, steps = 0) {
  const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const hash = createHmac('sha1', key).update(counter).digest();
  const from = hash[19] & 15;
  return String((hash.readUInt32BE(from) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

let [secret, codes, link] = ['', [], ''];
let session;
async function logInByCode() {
  const body = JSON.stringify({ login: 'chief', password: PASSWORD, recovery_code: codes[1] });
  const answer = await fetch(`${origin}/api/v1/session`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  must(answer.ok, `log-in of the first administrator: ${answer.status}`);
  return (await answer.json()).token;
}
/** Where the first administrator is, and a session of theirs by a recovery code: for the parts that come after this one. */
export const chief = {
  origin,
  /** One for all who ask: a code works once. */
  session: () => (session ??= logInByCode()),
};

async function newPassword(page) {
  await page.fill('input[name=password]', PASSWORD);
  await page.fill('input[name=password-again]', PASSWORD);
}
async function logIn(page, login) {
  await page.fill('input[name=login]', login);
  await page.fill('input[name=password]', PASSWORD);
  await page.click('button.primary');
}

await fact('the first administrator comes in by the printed address, with an authenticator and recovery codes', { at, expected, map: false }, async (page) => {
  await page.fill('input[name=name]', 'First Administrator');
  await page.fill('input[name=login]', 'chief');
  await newPassword(page);
  await accessible(page, 'set-up');
  await picture(page, 'set-up');
  await page.click('button.primary');
  await page.click('details summary');
  secret = await page.textContent('[data-secret]');
  await accessible(page, 'enrolment');
  await page.fill('input[name=code]', '000000');
  await page.click('button.primary');
  await page.waitForSelector('[role=alert]');
  await page.fill('input[name=code]', codeOf(secret, -1));
  await page.click('button.primary');
  await page.waitForSelector('[data-recovery]');
  codes = await page.locator('[data-recovery] code').allTextContents();
  must(codes.length === 10, `${codes.length} recovery codes`);
  await accessible(page, 'recovery codes');
  await page.check('input[name=kept]');
  await page.click('[data-recovery] button.primary');
  await page.waitForSelector('header nav a');
  await visit(page, 'account');
  await page.waitForSelector('[data-factor=true]');
  await page.waitForSelector('[data-session=this]');
  await accessible(page, 'my account');
  await picture(page, 'account');
  await page.goto(at);
  await page.reload();
  await page.waitForSelector('a[href="#/login"]');
});

await fact('a second step follows the password, and an administrator invites an owner', { at: origin, expected, map: false }, async (page) => {
  await logIn(page, 'chief');
  await page.fill('input[name=code]', codeOf(secret, 0));
  await page.click('button.primary');
  await page.waitForSelector('header nav a');
  await visit(page, 'people');
  await page.waitForSelector('[data-row=chief]');
  await page.getByRole('button', { name: 'Invite somebody' }).click();
  await page.fill('dialog input[name=name]', 'Anna Owner');
  await page.fill('dialog input[name=phone]', '138 0000 0001');
  await accessible(page, 'inviting');
  await page.click('dialog button.primary');
  link = await page.textContent('[data-link]');
  await accessible(page, 'handing over');
  await picture(page, 'people');
});

const phone = { width: 360, height: 740, locale: 'zh-CN' };
await fact('an owner comes in on a phone by a link that works once, and by phone number then', { at: origin, expected, map: false, ...phone }, async (page) => {
  await page.goto(link);
  await page.reload();
  await page.waitForSelector('input[name=password-again]');
  await accessible(page, 'invitation');
  await picture(page, 'invitation-phone');
  await newPassword(page);
  await page.click('button.primary');
  await page.waitForSelector('header nav a');
  await page.goto(link);
  await page.reload();
  await page.waitForSelector('a[href="#/login"]');
  await page.context().clearCookies();
  await page.goto(origin);
  await page.reload();
  await logIn(page, '138 0000 0001');
  await page.waitForSelector('header nav a');
  await visit(page, 'account');
  await page.waitForSelector('[data-factor=false]');
  await accessible(page, 'my account on a phone');
});

await fact('a recovery code lets in whose phone is lost, and a disabled owner is out', { at: origin, expected, map: false }, async (page) => {
  await logIn(page, 'chief');
  await page.getByRole('button', { name: 'Use a recovery code' }).click();
  await page.fill('input[name=code]', codes[0]);
  await page.click('button.primary');
  await page.waitForSelector('header nav a');
  await visit(page, 'people');
  await page.getByRole('button', { name: 'Manage: Anna Owner' }).click();
  await page.getByText('Change name, login, phone or unit').click();
  await page.fill('dialog input[name=name]', 'Anna Lake');
  await page.fill('dialog input[name=edit-reason]', 'has married');
  await accessible(page, 'editing');
  await picture(page, 'edit-person');
  await page.click('[data-edit-person] button.primary');
  await page.getByRole('button', { name: 'Manage: Anna Lake' }).click();
  await page.fill('dialog input[name=reason]', 'has moved away');
  await accessible(page, 'managing');
  await page.click('dialog button.danger');
  await page.getByRole('cell', { name: 'Disabled' }).waitFor();
});
