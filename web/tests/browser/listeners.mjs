// What operators see of the door: who is connected to it, how, and who is refused.
import { connect } from 'node:net';
import { accessible, call, fact, must, picture, sessions, until } from './harness.mjs';

const IDENT = '860000000000097';
const port = Number(process.env.RIDEGUARD_GT06);

/** A frame of GT06: length, number, content, serial, CRC-16/X-25. */
function frame(number, content, serial) {
  const body = Buffer.concat([Buffer.from([content.length + 5, number]), content, Buffer.from([serial >> 8, serial & 255])]);
  let crc = 0xffff;
  for (const byte of body) {
    crc ^= byte;
    for (let n = 0; n < 8; n++) crc = crc & 1 ? (crc >> 1) ^ 0x8408 : crc >> 1;
  }
  crc ^= 0xffff;
  return Buffer.concat([Buffer.from([0x78, 0x78]), body, Buffer.from([crc >> 8, crc & 255, 0x0d, 0x0a])]);
}

/** Logs in; resolves to the socket, or to nothing if it is refused. */
function logIn(ident) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(frame(1, Buffer.from(`0${ident}`, 'hex'), 1)));
    socket.once('data', () => resolve(socket));
    socket.once('close', () => resolve(null));
    socket.on('error', () => {});
  });
}
const came = async (ident) => {
  let socket;
  await until(async () => (socket = await logIn(ident)) !== null, 'it is let in');
  return socket;
};

const listener = (page) => page.locator('[data-door=there] [data-listener="gt06 tcp"]');

await fact('an operator registers a tracker, sees it come to the door and go, and who is refused', { as: 'operator', map: false }, async (page) => {
  const token = sessions.get('operator');
  const body = { idents: [IDENT], protocol: 'gt06', transport: 'socket' };
  await call('POST', '/tracker-batches', token, body);
  await listener(page).waitFor();
  must((await listener(page).locator('[data-connected="0"]').count()) === 1, 'nobody is connected yet');
  must((await logIn('860000000000098')) === null, 'who is unknown is refused');
  const socket = await came(IDENT);
  await listener(page).locator('[data-connected="1"]').waitFor();
  await listener(page).locator('[data-refused]:not([data-refused="0"])').waitFor();
  await page.fill('input[type=search]', IDENT);
  await page.locator('form button.primary').click();
  await page.locator('[data-at-door=there][title*="gt06 · TCP"]').waitFor();
  await accessible(page, 'trackers at the door');
  await picture(page, 'operator-door-en');
  socket.end();
  await until(async () => {
    await page.locator('form button.primary').click();
    return (await page.locator('[data-at-door=gone][title*="closed by the tracker"]').count()) === 1;
  }, 'it is gone');
  await listener(page).getByText('closed by the tracker').waitFor();
});

await fact('the card of a tracker says since when, from which network and how it is connected, on a phone and in Chinese', { as: 'operator', map: false, locale: 'zh-CN', width: 390, height: 844 }, async (page) => {
  const socket = await came(IDENT);
  await listener(page).locator('[data-connected="1"]').waitFor();
  must((await listener(page).textContent()).includes('在线连接 1'), await listener(page).textContent());
  await accessible(page, 'the door on a phone');
  await listener(page).scrollIntoViewIfNeeded();
  await picture(page, 'operator-door-phone-zh');
  const card = (await openTracker(page, IDENT)).locator('[data-record=trackers]');
  await card.locator('[data-at-door=there]').waitFor();
  const text = await card.textContent();
  for (const part of ['gt06 · TCP · 127.0.0.0/24', '协议直连']) must(text.includes(part), `${part} in ${text}`);
  await picture(page, 'operator-tracker-card-phone-zh');
  await accessible(page, 'the card on a phone');
  socket.end();
});

await fact('a form says by what a tracker comes, and a language without a socket comes by MQTT', { as: 'operator', map: false, expected: /status of 400/ }, async (page) => {
  const dialog = await openTracker(page, IDENT);
  await dialog.locator('summary').first().click();
  const save = async () => {
    await dialog.locator('input[name=change-reason]').fill('a test of the page');
    await dialog.locator('form button.primary').click();
  };
  await dialog.locator('select[name=protocol]').selectOption('json');
  await save();
  await until(async () => (await dialog.locator('select[name=transport]').inputValue()) === 'mqtt', 'JSON comes by MQTT');
  await dialog.locator('select[name=transport]').selectOption('socket');
  await save();
  await dialog.getByRole('alert').filter({ hasText: 'GT06, H02, JT/T 808 and Teltonika only' }).waitFor();
  await accessible(page, 'a refused socket');
  await picture(page, 'operator-transport-en');
  await dialog.locator('select[name=protocol]').selectOption('gt06');
  await save();
  await until(async () => (await dialog.locator('[data-record=trackers]').textContent()).includes('its own language'), 'GT06 has a socket');
  (await came(IDENT)).end();
});

/** Finds a tracker in the registry and opens its card. */
async function openTracker(page, ident) {
  await page.goto(`${new URL(page.url()).origin}/#/registry?kind=trackers&q=${ident}`);
  await page.reload();
  await page.locator(`[data-row="${ident}"]`).waitFor();
  await page.getByRole('button', { name: ident }).first().click();
  const dialog = page.locator('dialog[open]');
  await dialog.locator('[data-record=trackers]').waitFor();
  return dialog;
}
