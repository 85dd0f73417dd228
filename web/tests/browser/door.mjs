// The installer at a door, on a phone: a tracker is taken out, fitted, tried; the network goes.
import { setTimeout as pause } from 'node:timers/promises';
import { HERE, RUN, says, tracker } from './own-tracker.mjs';
import { accessible, answer, call, fact, isNarrow, must, picture, sessions, until, url, visit } from './harness.mjs';

const PHONE = { width: 390, height: 844, locale: 'zh-CN' };
const AT_HERE = { geolocation: HERE, permissions: ['geolocation'] };
/** Where the job is: another at each run. */
const PLACE = `赫山区某路 ${RUN} 号`;
const next = (page) => page.locator('form button.primary').click();

async function fill(page, fields) {
  for (const [name, text] of Object.entries(fields)) await page.fill(`input[name=${name}]`, text);
}
/** Small targets under a thumb. */
const small = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll('.panel button, .panel select, .panel input:not([type=checkbox], [type=file]), .panel label:has(input[type=checkbox])')]
      .map((e) => [e, e.getBoundingClientRect()])
      .filter(([, b]) => b.width > 0 && (b.width < 43.5 || b.height < 43.5))
      .map(([e, b]) => `${e.tagName} ${e.textContent.trim()} ${b.width.toFixed(0)}x${b.height.toFixed(0)}`));
async function fits(page, where) {
  await accessible(page, where);
  const found = await small(page);
  must(found.length === 0, `${where}: ${found.join('; ')}`);
}

await fact('with one thumb a tracker leaves a vehicle and is fitted into another; what is wrong cannot be left out', { as: 'operator', ...PHONE, args: AT_HERE, expected: /status of 40[49]/ }, async (page) => {
  const token = sessions.get('operator');
  const fitted = await tracker();
  const [vehicle, other] = ['A', 'B'].map((one) => `湘H·${one}${RUN.slice(-4)}`);
  const { rows: trackers } = await call('GET', `/registry/trackers?q=${fitted.ident}`, token);
  const { id } = await call('POST', '/registry/vehicles', token, { fields: { plate: vehicle, kind: 'ebike' }, reason: 'test' }, { 'Idempotency-Key': crypto.randomUUID() });
  await call('PUT', `/registry/vehicles/${id}/tracker`, token, { tracker_id: trackers[0].id, replace: false, reason: 'test' });
  await page.goto(`${url}/door`);
  await page.waitForSelector('nav a[aria-current][href="#/jobs"]');
  must((await page.locator('section.map').count()) === 0, 'no map at the door');
  await page.fill('input[name=place]', PLACE);
  await page.getByRole('button', { name: '添加任务' }).click();
  await page.waitForSelector(`[data-job]:has-text("${PLACE}")`);
  await fits(page, 'jobs');
  await picture(page, 'door-jobs-zh');

  await visit(page, 'out');
  await fill(page, { ident: fitted.ident, claim: fitted.claim_code, reason: '换到新车' });
  await fits(page, 'taking out');
  await page.getByRole('button', { name: '确认拆除' }).click();
  await page.locator('button.danger').click();
  await page.waitForSelector('.toasts:has-text("已拆除")');

  await page.locator('[data-job]', { hasText: PLACE }).getByRole('button', { name: '开始' }).click();
  await fill(page, { ident: fitted.ident, claim: fitted.claim_code });
  await fits(page, 'the label');
  await picture(page, 'door-label-zh');
  await next(page);
  await fill(page, { plate: other });
  await fits(page, 'the vehicle');
  await next(page);
  await fill(page, { name: '王某', phone: '138' });
  await page.check('input[name=agreed]');
  await next(page);
  await page.waitForSelector('[role=alert]:has-text("手机号不正确")');
  await fits(page, 'the owner');
  await picture(page, 'door-owner-zh');
  await page.fill('input[name=phone]', '138 0000 0055');
  await next(page);

  // The vehicle is not where this phone is: that is no matter of a reason.
  await until(async () => {
    await says(fitted, { east_m: 5000 });
    await pause(500);
    return (await page.getAttribute('[data-check=heard]', 'data-state')) === 'seen';
  }, 'the tracker is heard');
  await page.waitForSelector('[data-check=place][data-state=wrong]');
  must((await page.locator('[data-check=place] input').count()) === 0, 'a wrong place cannot be left out');
  must((await page.locator('[data-check=heard] input, [data-check=drill] input').count()) === 0, 'what has to be seen');
  await page.getByRole('button', { name: '开始演练' }).click();
  await page.waitForSelector('[data-drill]:has-text("演练中")');
  await fits(page, 'the live check');
  await picture(page, 'door-check-zh');
  must(await page.getByRole('button', { name: '交付车主' }).isDisabled(), 'not before everything was seen');
  await page.check('input[name=without-shake]');
  must(await page.getByRole('button', { name: '交付车主' }).isDisabled(), 'nor with something left out');
  await page.fill('input[name=reason]', '装错车辆');
  await page.getByRole('button', { name: '放弃安装' }).click();
  await page.locator('button.danger').click();
  await page.waitForSelector(`[data-job]:has-text("${PLACE}"):has-text("装错车辆")`);
  const day = new Intl.DateTimeFormat('sv-SE', { timeZone: 'Asia/Shanghai' }).format(new Date());
  const { visits } = await call('GET', `/door/jobs?day=${day}`, token);
  must(!visits.some((v) => v.ident === fitted.ident), JSON.stringify(visits));
});

const fitting = { id: '7', work: 'install', plate: '湘H·T9001', ident: 'yy009001', began_at: new Date().toISOString(), drill_at: null, ended_at: null, outcome: null, without: [], without_why: null, job_id: null, has_photo: false };

await fact('in a basement what was typed is kept on the phone, told so, and sent later', { as: 'operator', ...PHONE, locale: 'en-GB', expected: /Failed to load/ }, async (page) => {
  await page.goto(`${url}/door#/fit`);
  const sent = [];
  let isAway = true;
  await page.route('**/api/v1/door/visits', (route) => {
    if (isAway) return route.abort();
    sent.push([route.request().headers()['idempotency-key'], route.request().postDataJSON()]);
    return route.fulfill({ status: 201, json: fitting });
  });
  await fill(page, { ident: 'yy009001', claim: 'AB12CD34' });
  await next(page);
  await fill(page, { plate: '湘H·T9001' });
  await next(page);
  await fill(page, { name: '王某', phone: '13800000001' });
  await page.check('input[name=agreed]');
  await next(page);
  await page.waitForSelector('.toasts:has-text("kept on this phone")');
  await page.waitForSelector('[data-waiting="1"]:has-text("湘H·T9001")');
  await accessible(page, 'what waits');
  await picture(page, 'door-waiting-en');
  // It outlives the page.
  await page.reload();
  await page.waitForSelector('[data-waiting="1"]');
  isAway = false;
  await page.getByRole('button', { name: 'Send now' }).click();
  await page.waitForSelector('[data-waiting]', { state: 'detached' });
  must(sent.length === 1 && /^[0-9a-f-]{36}$/.test(sent[0][0]) && sent[0][1].phone === '+8613800000001' && sent[0][1].consent, JSON.stringify(sent));
  await page.reload();
  await page.waitForSelector('nav a[aria-current][href="#/jobs"]');
  must((await page.locator('[data-waiting]').count()) === 0, 'nothing of it is left on the phone');
});

await fact('when all was seen the vehicle is handed over, and the owner’s invitation is shown once', { as: 'operator', ...PHONE, args: AT_HERE, locale: 'en-GB' }, async (page) => {
  const at = new Date().toISOString();
  const check = {
    heard_at: at, is_heard: true, fixed_at: at, accuracy_m: 5, satellites: 9, distance_m: 12.3, battery_percent: 90, signal_percent: 70,
    external_power: false, armed: true, shaken_at: at, unplugged_at: at, drill_alert_at: null, drill_kind: null, checks: [],
  };
  const states = (more) => {
    const all = { heard: 'seen', place: 'seen', battery: 'seen', signal: 'seen', shake: 'seen', supply: 'seen', drill: 'seen', ...more };
    check.checks = Object.entries(all).map(([name, state]) => ({ name, state, is_skippable: false }));
  };
  states({ supply: 'wrong', drill: 'not_seen' });
  const asked = [];
  await page.route(/\/api\/v1\/door\/visits\/7(\?|$)/, (route) => {
    asked.push(new URL(route.request().url()).search);
    return route.fulfill({ json: { visit: { ...fitting, drill_at: at }, check } });
  });
  await answer(page, '/door/visits/7/hand-over', 200, { visit: { ...fitting, ended_at: at, outcome: 'handed_over' }, invitation: { address: `${url}/#/invitation/0123456789abcdef`, qr_svg: '<svg xmlns="http://www.w3.org/2000/svg"/>', expires_at: at } });
  await page.goto(`${url}/door#/visit/7`);
  await page.waitForSelector('[data-check=drill][data-state=not_seen]');
  await page.waitForSelector('[data-check=supply][data-state=wrong]:has-text("put the plug back")');
  must(await page.getByRole('button', { name: 'Hand over' }).isDisabled(), 'the drill is missing');
  [check.external_power, check.drill_alert_at, check.drill_kind] = [true, at, 'moved'];
  states({});
  await page.waitForSelector('[data-check=supply][data-state=seen]:has-text("cut and back")');
  await page.waitForSelector('[data-check=drill][data-state=seen]:has-text("moved")');
  must(asked.some((q) => q.includes('lat=28.55')), 'the phone says where it is');
  await accessible(page, 'everything was seen');
  await picture(page, 'door-seen-en');
  await page.getByRole('button', { name: 'Hand over' }).click();
  await page.waitForSelector('[data-handed-over]:has-text("/#/invitation/0123456789abcdef")');
  await accessible(page, 'the invitation');
  await picture(page, 'door-handed-over-en');
  must(await isNarrow(page), 'the link fits');
});
