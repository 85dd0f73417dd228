// Incidents that two devices answer, and people who come late.
import { accessible, answer, fact, languageIsShown, must, picture, visit } from './harness.mjs';
import { alert, incident, owns, stream, vehicle } from './people.mjs';

const STALE = /status of 409/;
const news = ({ id, vehicle_id, state, answer, version, opened_at, closed_at }) => ({
  type: 'incident', incident: { id, vehicle_id, state, answer, version, opened_at, closed_at },
});
const stolen = () => incident({ state: 'confirmed', answer: 'stolen', answered_at: new Date().toISOString(), version: 2 });

await fact('a theft that was there before the page opened warns in banner and title, and is answered there', { as: 'owner', map: false }, async (page) => {
  const world = { incidents: [incident()], vehicles: [vehicle({ open_incident: '901' })] };
  await owns(page, world);
  const line = await stream(page);
  const said = [];
  await page.route('**/incidents/901/answer', (route) => {
    said.push(route.request().postDataJSON());
    world.incidents = [stolen()];
    world.vehicles = [vehicle({ open_incident: '901', open_incident_answer: 'stolen' })];
    return route.fulfill({ json: world.incidents[0] });
  });
  await page.reload();
  await page.waitForSelector('[data-unseen] [role=alert]:has-text("湘H·T0071")');
  await page.waitForFunction(() => document.title.startsWith('⚠ (1)'));
  await accessible(page, 'a theft of before');
  await picture(page, 'incident-banner-en');
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await page.waitForSelector('[data-unseen]', { state: 'detached' });
  must((await page.title()).startsWith('⚠ (1)'), 'what waits is counted, dismissed or not');
  line.say({ type: 'alert', alert: alert({ id: '502', kind: 'power_cut', raised_at: new Date().toISOString() }) });
  await page.waitForSelector('[data-unseen] [role=alert]:has-text("power was cut")');
  await page.locator('[data-unseen]').getByRole('button', { name: 'It is stolen' }).click();
  await page.waitForSelector('[data-unseen]', { state: 'detached' });
  must(JSON.stringify(said) === '[{"answer":"stolen","version":1}]', JSON.stringify(said));
  must(!(await page.title()).includes('⚠'), 'nothing waits any more');
  await page.waitForSelector('article.stolen [data-stolen=true]:has-text("Stolen")');
  must(await page.evaluate(() => document.activeElement.classList.contains('panel')), 'the focus is not lost with the banner');
});

await fact('open cards follow an answer that was given elsewhere', { as: 'owner', map: false }, async (page) => {
  const world = { incidents: [incident()] };
  await owns(page, world);
  const line = await stream(page);
  await page.reload();
  await page.goto(`${new URL(page.url()).origin}/#/alerts/901`);
  await page.locator('[data-incident]').getByRole('button', { name: 'It’s me', exact: true }).waitFor();
  world.incidents = [stolen()];
  line.say(news(stolen()));
  await page.waitForSelector('[data-incident] [data-stolen=true]:has-text("Stolen")');
  await page.waitForSelector('li [data-stands]:has-text("Stolen")');
  must((await page.locator('[data-incident]').getByRole('button', { name: 'It’s me', exact: true }).count()) === 0, 'no tap undoes it');
  await page.getByRole('button', { name: '中文' }).click();
  await page.waitForSelector('[data-incident] [data-stolen=true]:has-text("已确认被盗")');
  await accessible(page, 'a theft that is confirmed');
  await picture(page, 'incident-stolen-zh');
});

await fact('a stale answer changes nothing: the card says so and shows what stands', { as: 'owner', map: false, expected: STALE }, async (page) => {
  const world = { incidents: [incident()] };
  await owns(page, world);
  await stream(page);
  await page.reload();
  await page.goto(`${new URL(page.url()).origin}/#/alerts/901`);
  await page.route('**/incidents/901/answer', (route) => {
    world.incidents = [stolen()];
    return route.fulfill({ status: 409, json: { error: 'incident_changed', message: 'prose', values: { version: 2, given: 1 }, incident: stolen() } });
  });
  await page.locator('[data-incident]').getByRole('button', { name: 'It’s me', exact: true }).click();
  await page.waitForSelector('[data-changed]:has-text("has changed")');
  await page.waitForSelector('[data-incident] [data-stolen=true]');
  must(!(await page.textContent('[data-incident]')).includes('prose'), 'no words of the server');
  await accessible(page, 'an incident that changed');
});

await fact('taking "stolen" back is asked for first', { as: 'owner', map: false }, async (page) => {
  const world = { incidents: [stolen()] };
  await owns(page, world);
  await stream(page);
  const said = [];
  await page.route('**/incidents/901/answer', (route) => {
    said.push(route.request().postDataJSON());
    const now = new Date().toISOString();
    world.incidents = [incident({ state: 'false_alarm', end: 'false_alarm', answer: 'me', answered_at: now, closed_at: now, fixes_to: now, version: 3 })];
    return route.fulfill({ json: world.incidents[0] });
  });
  await page.reload();
  await page.goto(`${new URL(page.url()).origin}/#/alerts/901`);
  const card = page.locator('[data-incident]');
  await card.getByRole('button', { name: 'Not stolen: it’s me' }).click();
  await page.waitForSelector('[role=group]:has-text("Taking it back")');
  must(said.length === 0, 'nothing is said before it is confirmed');
  await picture(page, 'incident-withdraw-en');
  await page.keyboard.press('Escape');
  await card.getByRole('button', { name: 'Not stolen: it’s me' }).click();
  await card.locator('button.danger').click();
  await page.waitForSelector('[data-state=false_alarm]');
  must(JSON.stringify(said) === '[{"answer":"me","version":2,"withdraw":true}]', JSON.stringify(said));
  // The ride may have been a theft after all: for two hours it can be said.
  await card.getByRole('button', { name: 'It is stolen' }).waitFor();
  must((await card.getByRole('button', { name: 'It’s me', exact: true }).count()) === 0, 'only answers with an effect');
});

await fact('an incident that is long over has no answers that would have no effect', { as: 'owner', map: false }, async (page) => {
  const long = new Date(Date.now() - 5 * 3_600_000).toISOString();
  await owns(page, { incidents: [incident({ state: 'false_alarm', end: 'false_alarm', answer: 'me', closed_at: long, fixes_to: long })] });
  await stream(page);
  await page.reload();
  await page.goto(`${new URL(page.url()).origin}/#/alerts/901`);
  await page.waitForSelector('[data-incident]');
  must((await page.locator('[data-incident] [role=group]').count()) === 0, 'no answers');
});

await fact('armed without contact is a state of its own, never a green one', { as: 'owner', map: false }, async (page) => {
  const vehicles = [
    vehicle({ id: '1', plate: '湘H·T0001' }),
    vehicle({ id: '2', plate: '湘H·T0002', protection: 'no_contact', contact: 'silent' }),
    vehicle({ id: '3', plate: '湘H·T0003', protection: 'no_contact', contact: 'never', last_heard_at: null, last_fix: null }),
    vehicle({ id: '4', plate: '湘H·T0004', protection: 'off', armed: false, contact: 'late' }),
  ];
  await owns(page, { vehicles, alerts: [alert({ kind: 'pre_armed_without_contact', wakes_owner: false, incident_id: null })] });
  await stream(page);
  await page.reload();
  for (const [language, words] of [['en', 'not protected'], ['zh', '未受保护']]) {
    for (const plate of ['湘H·T0002', '湘H·T0003']) {
      const tag = page.locator(`[data-plate="${plate}"] [data-protection=no_contact]`);
      await tag.waitFor();
      const text = await tag.textContent();
      must(text.includes(words) && !text.includes('✔'), text);
      must(!(await tag.evaluate((e) => e.classList.contains('good'))), 'not green');
    }
    await accessible(page, `vehicles without contact, ${language}`);
    await picture(page, `no-contact-${language}`);
    if (language === 'en') await page.getByRole('button', { name: '中文' }).click();
    await languageIsShown(page);
  }
  must((await page.textContent('[data-plate="湘H·T0001"] [data-protection]')).includes('✔'), 'who is heard is protected');
  await visit(page, 'alerts');
  await page.waitForSelector('li.card:has-text("未受保护") >> text=提示');
});

await fact('a refusal is said in words of the page, with the sentence of the server where there are none', { as: 'owner', map: false, locale: 'zh-CN', expected: /status of [45]/ }, async (page) => {
  await page.waitForSelector('article.card');
  for (const [status, code, values, text] of [
    [403, 'wrong_role', { roles: ['police'], role: 'owner' }, '此操作仅限民警，您是车主。'],
    [409, 'no_tracker', {}, '没有安装终端'],
    [400, 'brand_new_code', {}, 'English prose of the server'],
    [500, 'internal', {}, '服务器出错'],
  ]) {
    const restore = await answer(page, '/zones', status, { error: 'of_the_status', code, values, message: 'English prose of the server' });
    await page.evaluate(() => (location.hash = '#/zones'));
    await page.waitForSelector(`[role=alert]:has-text("${text}")`);
    must(code === 'brand_new_code' || !(await page.textContent('.panel')).includes('prose'), 'no words of the server');
    await restore();
    await page.evaluate(() => (location.hash = '#/vehicles'));
    await page.waitForSelector('article.card');
  }
});
