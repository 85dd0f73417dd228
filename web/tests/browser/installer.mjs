// The installer with a real tracker: a drill until it is handed over, a reader of codes for browsers without one, a basement, and what goes wrong at doors.
import { readFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { accessible, answer, call, COOKIE, enter, fact, isNarrow, languageIsShown, logIn, must, picture, sessions, until, url, visit } from './harness.mjs';
import { HERE, RUN, says, tracker } from './own-tracker.mjs';
import { alert, incident } from './people.mjs';

const PHONE = { width: 360, height: 740 };
const GEO = { geolocation: HERE, permissions: ['geolocation'] };
const plateOf = (n) => `湘H·T${n}${RUN.slice(-3)}`;
const phoneOf = (n) => `1390${n}0${RUN}`;
/** The next step, which has this field; without one the form is sent. */
const next = async (page, field) => {
  await page.locator('form button.primary').click();
  if (field) await page.waitForSelector(`input[name=${field}]`);
};
async function fill(page, fields) {
  for (const [name, text] of Object.entries(fields)) await page.fill(`input[name=${name}]`, text);
}
/** Targets that a thumb misses. */
async function fits(page, where) {
  await accessible(page, where);
  const found = await page.evaluate(() =>
    [...document.querySelectorAll('.panel button, .panel select, .panel input:not([type=checkbox], [type=file]), .panel label:has(input[type=checkbox]), .panel label.as-button')]
      .map((e) => [e, e.getBoundingClientRect()])
      .filter(([, b]) => b.width > 0 && (b.width < 43.5 || b.height < 43.5))
      .map(([e, b]) => `${e.tagName} ${e.textContent.trim()} ${b.width.toFixed(0)}x${b.height.toFixed(0)}`));
  must(found.length === 0, `${where}: ${found.join('; ')}`);
}

const state = (page, check, is) => page.waitForSelector(`[data-check=${check}][data-state=${is}]`);

/** A photo as a phone takes it: with EXIF, which the server would refuse. */
async function cameraPhoto(page) {
  const base64 = await page.evaluate(() => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [2400, 1800];
    const paper = canvas.getContext('2d');
    for (let n = 0; n < 4000; n++) {
      paper.fillStyle = `hsl(${n % 360} 80% ${20 + (n % 60)}%)`;
      paper.fillRect((n * 397) % 2400, (n * 211) % 1800, 90, 70);
    }
    return canvas.toDataURL('image/jpeg', 0.95).split(',')[1];
  });
  const jpeg = Buffer.from(base64, 'base64');
  const exif = Buffer.concat([Buffer.from([0xff, 0xe1, 0, 40]), Buffer.from('Exif\0\0'.padEnd(38, '\0'), 'latin1')]);
  return { name: 'IMG_1.jpg', mimeType: 'image/jpeg', buffer: Buffer.concat([jpeg.subarray(0, 2), exif, jpeg.subarray(2)]) };
}

await fact('a real tracker is fitted with a photo, shaken, unplugged, moved, and handed over; the page ticks by itself', { as: 'operator', ...PHONE, locale: 'zh-CN', args: GEO, expected: /status of 409/ }, async (page) => {
  const fitted = await tracker();
  await page.goto(`${url}/door#/fit`);
  await fill(page, { ident: fitted.ident, claim: fitted.claim_code });
  await fits(page, 'the label');
  await next(page);
  await fill(page, { plate: plateOf(1) });
  await page.setInputFiles('input[name=photo]', await cameraPhoto(page));
  await page.waitForSelector('img[data-photo]');
  must(Number(await page.getAttribute('img[data-photo]', 'data-photo')) <= 300 * 1024, 'the photo is small');
  await fits(page, 'the vehicle');
  await picture(page, 'installer-vehicle-zh');
  await next(page);
  await fill(page, { name: '王某', phone: phoneOf(1) });
  await page.check('input[name=agreed]');
  await fits(page, 'the owner');
  await picture(page, 'installer-owner-zh');
  await next(page);
  await state(page, 'heard', 'not_seen');
  await fits(page, 'nothing was seen yet');
  await picture(page, 'installer-check-zh');
  // The guard learns where it stands.
  for (let n = 0; n < 9 || (await page.getAttribute('[data-check=heard]', 'data-state')) !== 'seen'; n++) {
    await says(fitted, { battery: 12 });
    await pause(200);
  }
  for (const check of ['heard', 'place', 'signal']) await state(page, check, 'seen');
  await state(page, 'battery', 'wrong');
  await state(page, 'shake', 'not_seen');
  must((await page.locator('input[name=without-battery]').count()) === 0, 'a low battery is no matter of a reason');

  await page.getByRole('button', { name: '开始演练' }).click();
  await page.waitForSelector('[data-check=drill]:has-text("请推动车辆")');
  await says(fitted, { alarms: ['vibration'], moving: true });
  await state(page, 'shake', 'seen');
  await says(fitted, { external_power: false, moving: true });
  await state(page, 'supply', 'wrong');
  await says(fitted, { moving: true });
  await state(page, 'supply', 'seen');
  // It is pushed away until the alert arrives; somebody who walks beside it brings it back.
  let east_m = 0;
  await until(async () => {
    east_m += 9;
    await says(fitted, { east_m, speed: 30, moving: true });
    await pause(800);
    return (await page.getAttribute('[data-check=drill]', 'data-state')) === 'seen';
  }, 'the drill’s alert arrives');
  await until(async () => {
    await says(fitted);
    await pause(800);
    return (await page.getAttribute('[data-check=place]', 'data-state')) === 'seen';
  }, 'it is back');
  for (const check of ['heard', 'place', 'battery', 'signal', 'shake', 'supply', 'drill']) await state(page, check, 'seen');
  await fits(page, 'everything was seen');
  await picture(page, 'installer-seen-zh');
  await page.getByRole('button', { name: '交付车主' }).click();
  await page.waitForSelector('[data-handed-over] img');
  must((await page.textContent('.link')).includes('/#/invitation/'), 'the invitation');
  await fits(page, 'handed over');
  await picture(page, 'installer-handed-over-zh');
  // Nobody was told, the photo is there without a word of its camera, and the record says that nothing was left out.
  const token = sessions.get('operator');
  const { rows } = await call('GET', `/registry/vehicles?q=${encodeURIComponent(plateOf(1))}`, token);
  const { visits } = await call('GET', `/door/visits?vehicle_id=${rows[0].id}`, token);
  must(visits.length === 1 && visits[0].has_photo && visits[0].without.length === 0, JSON.stringify(visits));
  const photo = await fetch(`${url}/api/v1/door/visits/${visits[0].id}/photo`, { headers: { Authorization: `Bearer ${token}` } });
  const bytes = Buffer.from(await photo.arrayBuffer());
  must(photo.headers.get('content-type') === 'image/jpeg' && bytes.length <= 300 * 1024 && !bytes.includes('Exif'), 'the photo');
});

await fact('at the desk an operator sees what was fitted, and its photo', { as: 'operator', width: 1440, height: 900, locale: 'en-GB', map: false }, async (page) => {
  await page.goto(`${url}/#/registry?kind=vehicles&q=${encodeURIComponent(plateOf(1))}`);
  await page.getByRole('button', { name: `Open: ${plateOf(1)}` }).click();
  await page.waitForSelector('[data-fittings="1"]:has-text("Handed over")');
  await page.getByRole('button', { name: 'Show the photo' }).click();
  await page.waitForFunction(() => document.querySelector('[data-fittings] img')?.naturalWidth > 600);
  await accessible(page, 'fittings of a vehicle');
  await picture(page, 'desk-fittings-en');
});

await fact('a drill is marked where an owner sees it, and warns nobody', { as: 'owner', ...PHONE, locale: 'zh-CN', map: false }, async (page) => {
  await answer(page, '/alerts', 200, { alerts: [alert({ id: '9', incident_id: '8', is_drill: true })], next_cursor: null });
  await answer(page, '/incidents', 200, { incidents: [incident({ id: '8', is_drill: true })], next_cursor: null });
  await page.reload();
  await page.goto(`${url}/#/alerts`);
  await page.waitForSelector('[data-drill]:has-text("安装演练")');
  await languageIsShown(page);
  must((await page.locator('[data-unseen]').count()) === 0, 'no banner');
  await picture(page, 'owner-drill-zh');
});

const require = createRequire(import.meta.url);
/** A QR code as rows of 0 and 1. */
async function codeOf(text) {
  const { prepareZXingModule, writeBarcode } = await import('zxing-wasm/writer');
  prepareZXingModule({ overrides: { wasmBinary: readFileSync(require.resolve('zxing-wasm/writer/zxing_writer.wasm')).buffer } });
  const { symbol } = await writeBarcode(text, { format: 'QRCode' });
  return { side: symbol.width, dark: [...symbol.data].map((v) => v === 0) };
}
/** The code that the server draws on a label. */
function codeOfLabel({ side, modules_hex }) {
  const bits = [...Buffer.from(modules_hex, 'hex')].flatMap((byte) => [...byte.toString(2).padStart(8, '0')].map(Number));
  return { side, dark: Array.from({ length: side * side }, (_, n) => bits[n] === 1) };
}
/** The camera sees this code, as somebody holds it: not upright, and on grey. */
const show = (page, code) =>
  page.evaluate(({ side, dark }) => {
    const paper = globalThis.camera.getContext('2d');
    paper.resetTransform();
    paper.fillStyle = '#8a8a80';
    paper.fillRect(0, 0, 640, 480);
    paper.translate(320, 240);
    paper.rotate(0.2);
    const px = Math.floor(330 / (side + 8));
    paper.translate((-px * (side + 8)) / 2, (-px * (side + 8)) / 2);
    paper.fillStyle = '#f4f4ee';
    paper.fillRect(0, 0, px * (side + 8), px * (side + 8));
    paper.fillStyle = '#1a1a1a';
    dark.forEach((is, n) => is && paper.fillRect((4 + (n % side)) * px, (4 + Math.floor(n / side)) * px, px, px));
  }, code);

await fact('a browser without a reader of its own reads a label and a plate by the camera', { as: 'operator', ...PHONE, locale: 'en-GB' }, async (page) => {
  const { ident, claim_code, label } = await tracker();
  await page.addInitScript(() => {
    delete globalThis.BarcodeDetector;
    globalThis.camera = document.createElement('canvas');
    [globalThis.camera.width, globalThis.camera.height] = [640, 480];
    navigator.mediaDevices.getUserMedia = async () => {
      // A stream has a picture only where something is drawn.
      const keep = setInterval(() => globalThis.camera.getContext('2d').fillRect(0, 0, 1, 1), 50);
      const stream = globalThis.camera.captureStream(20);
      stream.getTracks()[0].addEventListener('ended', () => clearInterval(keep));
      return stream;
    };
  });
  await page.goto(`${url}/door#/fit`);
  await page.reload();
  await page.waitForSelector('input[name=ident]');
  await show(page, await codeOf('https://example.com/'));
  await page.getByRole('button', { name: 'Scan the label' }).click();
  await page.waitForSelector('[role=status]:has-text("not the code of a tracker")');
  await picture(page, 'installer-scan-en');
  await show(page, codeOfLabel(label));
  await page.waitForSelector('video', { state: 'detached' });
  must((await page.inputValue('input[name=ident]')) === ident, 'the tracker is read');
  must((await page.inputValue('input[name=claim]')).replace(/-/g, '').toLowerCase() === claim_code.replace(/-/g, '').toLowerCase(), 'the claim code is read');
  await next(page);
  await show(page, await codeOf('https://example.com/?cphm=湘H12345'));
  await page.getByRole('button', { name: 'Scan the plate' }).click();
  await page.waitForSelector('video', { state: 'detached' });
  must((await page.inputValue('input[name=plate]')) === '湘H12345', 'the plate is read');
  // The camera is refused: what is there is typed.
  await page.evaluate(() => (navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no'))));
  await page.getByRole('button', { name: 'Scan the plate' }).click();
  await page.waitForSelector('[role=status]:has-text("camera cannot be used")');
});

/** The way to the server, which can be cut. */
async function wire() {
  const { hostname, port } = new URL(url);
  const open = new Set();
  let isCut = false;
  const server = createServer((from) => {
    if (isCut) return from.destroy();
    const to = connect(Number(port), hostname);
    for (const one of [from, to]) {
      open.add(one);
      one.on('close', () => open.delete(one));
      one.on('error', () => {});
    }
    from.pipe(to).pipe(from);
    from.on('close', () => to.destroy());
    to.on('close', () => from.destroy());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    cut() {
      isCut = true;
      for (const one of open) one.destroy();
    },
    mend: () => (isCut = false),
    close: () => server.close(),
  };
}

const way = await wire();
const AWAY = /Failed to load|ERR_|WebSocket|Failed to fetch/;
await fact('in a basement the page opens without a network, keeps a visit with its photo, and sends it once', { at: way.origin, ...PHONE, locale: 'zh-CN', expected: AWAY, args: { ...GEO, serviceWorkers: 'allow' } }, async (page) => {
  const fitted = await tracker();
  await page.context().addCookies([{ name: COOKIE, value: sessions.get('operator'), url: way.origin, httpOnly: true, sameSite: 'Strict' }]);
  await page.goto(`${way.origin}/door`);
  await page.reload();
  await page.waitForSelector('nav a[aria-current][href="#/jobs"]');
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  await page.reload();
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null && caches.open('rideguard-door-who').then((c) => c.match('/api/v1/me')).then(Boolean));
  await page.waitForSelector('[data-job], li.quiet');

  way.cut();
  await page.reload();
  await page.waitForSelector('[data-as-of]');
  await accessible(page, 'without a network');
  await picture(page, 'installer-basement-zh');
  await visit(page, 'fit');
  await fill(page, { ident: fitted.ident, claim: fitted.claim_code });
  await next(page);
  await fill(page, { plate: plateOf(2) });
  await page.setInputFiles('input[name=photo]', await cameraPhoto(page));
  await page.waitForSelector('img[data-photo]');
  await next(page);
  await fill(page, { name: '李某', phone: phoneOf(2) });
  // The phone drops the page; nothing is lost.
  await page.reload();
  await page.waitForSelector('[data-restored]');
  must((await page.inputValue('input[name=phone]')) === phoneOf(2), 'what was typed is back');
  await fits(page, 'what was typed is back');
  await page.check('input[name=agreed]');
  await next(page);
  await page.waitForSelector('.toasts:has-text("没有网络")');
  await page.waitForSelector(`[data-waiting="1"]:has-text("${plateOf(2)}"):has-text("照片")`);
  await page.reload();
  await page.waitForSelector('[data-waiting="1"]');
  await accessible(page, 'what waits');
  await picture(page, 'installer-waits-zh');

  way.mend();
  await page.getByRole('button', { name: '现在提交' }).click();
  await page.waitForSelector('[data-waiting]', { state: 'detached' });
  await page.waitForSelector(`[data-visit]:has-text("${plateOf(2)}")`);
  await page.reload();
  await page.waitForSelector(`[data-visit]:has-text("${plateOf(2)}")`);
  must((await page.locator('[data-waiting], [data-as-of]').count()) === 0, 'nothing of it is left on the phone');
  const token = sessions.get('operator');
  const { rows } = await call('GET', `/registry/vehicles?q=${encodeURIComponent(plateOf(2))}`, token);
  const { visits } = await call('GET', `/door/visits?vehicle_id=${rows[0].id}`, token);
  must(visits.length === 1 && visits[0].has_photo, JSON.stringify(visits));
  // Another draft, and a log-out without a network: it asks, and nothing stays.
  way.cut();
  await visit(page, 'fit');
  await fill(page, { ident: 'door-of-nobody', claim: 'AB12CD34' });
  await page.getByRole('button', { name: '退出' }).click();
  await page.waitForSelector('input[name=password]');
  const left = await page.evaluate(async () => {
    const database = await new Promise((resolve) => (indexedDB.open('rideguard-door').onsuccess = (e) => resolve(e.target.result)));
    const counts = await Promise.all([...database.objectStoreNames].map((name) => new Promise((resolve) => (database.transaction(name).objectStore(name).count().onsuccess = (e) => resolve(e.target.result)))));
    return [...counts, await caches.has('rideguard-door-who')];
  });
  must(left.every((n) => !n), `left on the phone: ${left}`);
  way.mend();
  await call('POST', `/door/visits/${visits[0].id}/give-up`, token, { reason: 'test' });
});
way.close();
sessions.delete('operator');

await fact('what goes wrong at a door stands beside its field; “back” and a dead session lose nothing', { as: 'operator', ...PHONE, locale: 'zh-CN', args: GEO, expected: /status of 40[0149]/ }, async (page) => {
  const [fitted, other] = [await tracker(), await tracker()];
  const token = sessions.get('operator');
  await page.goto(`${url}/door#/fit`);
  await fill(page, { ident: 'yy-of-others', claim: 'AB12CD34' });
  await next(page, 'plate');
  await fill(page, { plate: plateOf(3) });
  await next(page, 'name');
  must(await page.evaluate(() => document.activeElement?.getAttribute('name') === 'name'), 'the thumb can type');
  await fill(page, { name: '赵某', phone: phoneOf(3) });
  await page.check('input[name=agreed]');
  // The phone's own "back" goes a step back, and a form is not left by it.
  await page.goBack();
  must((await page.inputValue('input[name=plate]')) === plateOf(3), 'a step back');
  await page.goForward();
  must((await page.inputValue('input[name=name]')) === '赵某', 'and forth');
  await next(page);
  await page.waitForSelector('.field:has(input[name=ident]) [role=alert]');
  await fits(page, 'a label of nobody here');
  await picture(page, 'installer-label-refused-zh');

  // Somebody else is at this vehicle with another tracker; then it has one.
  const asked = { ident: other.ident, claim: other.claim_code, plate: plateOf(3), kind: 'ebike', name: '赵某', phone: `+86${phoneOf(3)}`, consent: '2026-11', consented_at: new Date().toISOString() };
  const enrol = (key, body) =>
    fetch(`${url}/api/v1/door/visits`, { method: 'POST', headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'Idempotency-Key': key }, body: JSON.stringify(body) });
  const first = await (await enrol(crypto.randomUUID(), asked)).json();
  await fill(page, { ident: fitted.ident, claim: fitted.claim_code });
  await next(page, 'plate');
  await next(page, 'name');
  await page.check('input[name=agreed]');
  await next(page);
  await page.waitForSelector('.field:has(input[name=plate]) [role=alert]');
  await picture(page, 'installer-plate-refused-zh');
  await call('POST', `/door/visits/${first.id}/give-up`, token, { reason: 'test' });
  // Two with one tracker: the label is refused to the second.
  const second = await (await enrol(crypto.randomUUID(), { ...asked, ident: fitted.ident, claim: fitted.claim_code, plate: plateOf(4) })).json();
  await next(page, 'name');
  await page.check('input[name=agreed]');
  await next(page);
  await page.waitForSelector('.field:has(input[name=ident]) [role=alert]');
  await call('POST', `/door/visits/${second.id}/give-up`, token, { reason: 'test' });

  // The session is dead: after the log-in what was typed is there, and goes out.
  await call('DELETE', '/session', token);
  sessions.delete('operator');
  await page.waitForSelector('input[name=password]');
  await logIn(page, 'operator');
  await page.waitForSelector('[data-restored]');
  await next(page, 'plate');
  await next(page, 'name');
  must((await page.inputValue('input[name=name]')) === '赵某', 'what was typed is back');
  await page.check('input[name=agreed]');
  await next(page);
  await state(page, 'heard', 'not_seen');
  await page.fill('input[name=reason]', '测试');
  await page.getByRole('button', { name: '放弃安装' }).click();
  await fits(page, 'giving up');
  await page.locator('button.danger').click();
  await page.waitForSelector('nav a[aria-current][href="#/jobs"]');
  must(await isNarrow(page), 'nothing lies beside the screen');
});

await fact('the door in English fits a phone as well', { as: 'operator', ...PHONE, locale: 'en-GB', args: GEO }, async (page) => {
  await enter(page, 'operator');
  const fitted = await tracker();
  await page.goto(`${url}/door`);
  await page.waitForSelector('nav a[aria-current][href="#/jobs"]');
  await fits(page, 'jobs');
  await picture(page, 'installer-jobs-en');
  await visit(page, 'out');
  await fits(page, 'taking out');
  await picture(page, 'installer-out-en');
  await visit(page, 'fit');
  await fill(page, { ident: fitted.ident, claim: fitted.claim_code });
  await fits(page, 'the label');
  await picture(page, 'installer-label-en');
  await next(page);
  await fill(page, { plate: plateOf(5) });
  await fits(page, 'the vehicle');
  await picture(page, 'installer-vehicle-en');
  await next(page);
  await fill(page, { name: 'Somebody', phone: phoneOf(5) });
  await page.check('input[name=agreed]');
  await fits(page, 'the owner');
  await picture(page, 'installer-owner-en');
  await next(page);
  // Until the lanes know it.
  await until(async () => {
    await says(fitted, { battery: 12 });
    await pause(1000);
    return (await page.getAttribute('[data-check=battery]', 'data-state')) === 'wrong';
  }, 'a low battery is seen');
  await page.getByRole('button', { name: 'Begin the drill' }).click();
  await page.waitForSelector('[data-drill]');
  await page.check('input[name=without-shake]');
  await fits(page, 'the live check');
  await picture(page, 'installer-check-en');
  await page.fill('input[name=reason]', 'test');
  await page.getByRole('button', { name: 'Give up' }).click();
  await page.locator('button.danger').click();
  await page.waitForSelector('nav a[aria-current][href="#/jobs"]');
});
