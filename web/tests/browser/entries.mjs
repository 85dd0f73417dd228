// The page's entries: who lands where, what is loaded, the state in the address, dark colours, installing.
import { accessible, answer, enter, fact, isNarrow, must, picture, until, url, visit } from './harness.mjs';

/** Scripts that a page has loaded. */
const scripts = (page) => page.evaluate(() => performance.getEntriesByType('resource').map((r) => r.name).filter((name) => name.endsWith('.js')));

await fact('an owner’s phone loads nothing of the desk, the police or the installer, and one language', { as: 'owner', map: false, locale: 'zh-CN', width: 390, height: 844 }, async (page) => {
  await page.waitForSelector('article.card');
  const loaded = await scripts(page);
  const foreign = loaded.filter((name) => /Trackers|Search|Area|police|desk|door/.test(name));
  must(foreign.length === 0, foreign.join(' '));
  must(loaded.filter((name) => /\/common-/.test(name)).length === 1, `words of one language: ${loaded}`);
  must(!loaded.some((name) => /\/city-/.test(name)), 'no map without a place to draw it');
  const [head, main] = await page.evaluate(() => ['header', 'main'].map((s) => document.querySelector(s).getBoundingClientRect().toJSON()));
  must(head.top === 0 && main.top >= head.bottom - 1 && main.bottom >= 843, `the header stands above a page that fills the screen: ${JSON.stringify([head, main])}`);
});

await fact('filters, times and searches stand in the address, and a reload asks the same again', { as: 'operator', map: false }, async (page) => {
  await page.waitForSelector('[data-tracker]');
  await page.fill('input[type=search]', 'yy000001');
  await page.locator('form button.primary').click();
  await until(async () => (await page.locator('[data-tracker]').count()) === 1, 'one is found');
  must(page.url().endsWith('#/trackers?q=yy000001'), page.url());
  await page.reload();
  await until(async () => (await page.locator('[data-tracker]').count()) === 1, 'the same is found');
  must((await page.inputValue('input[type=search]')) === 'yy000001', 'the form says what was asked');
  await enter(page, 'police');
  await page.waitForSelector('form button.primary:not([disabled])');
  await page.fill('input[name=text]', 'D0001');
  await page.locator('form button.primary').click();
  await page.waitForSelector('tbody tr button');
  const found = page.url();
  must(/#\/search\?text=D0001&from=\d{4}-.*&to=/.test(found), found);
  await visit(page, 'area');
  await page.waitForSelector('textarea[name=corners]');
  await page.goBack();
  await page.waitForFunction((at) => location.href === at, found);
  await page.waitForFunction(() => document.querySelector('input[name=text]')?.value === 'D0001');
});

await fact('an address of nobody’s page leads to the first of one’s own', { as: 'owner', map: false }, async (page) => {
  await page.goto(`${url}/#/trackers/7?q=x`);
  await page.waitForFunction(() => location.hash === '#/vehicles');
  await page.waitForSelector('article.card');
  await page.goto(`${url}/door`);
  await page.waitForSelector('article.card');
  must(new URL(page.url()).pathname === '/', 'the installer’s path is not the owner’s');
});

await fact('a table is sorted, loses a column, and is saved as a file', { as: 'operator', map: false }, async (page) => {
  await page.waitForSelector('[data-tracker]');
  const idents = () => page.locator('[data-tracker]').allTextContents();
  const head = page.getByRole('button', { name: 'Tracker', exact: true });
  const before = await idents();
  await head.click();
  const up = await idents();
  await head.click();
  const down = await idents();
  must(before.length > 10 && up.join() === [...down].reverse().join(), 'both ways');
  must((await page.locator('th[aria-sort=descending]').count()) === 1, 'the order is told to screen readers');
  const columns = await page.locator('th').count();
  await page.locator('.tools summary').click();
  await page.getByRole('checkbox', { name: 'Firmware' }).uncheck();
  must((await page.locator('th').count()) === columns - 1, 'a column less');
  await accessible(page, 'a table with its columns');
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /Save as CSV/ }).click()]);
  must(file.suggestedFilename() === 'trackers.csv', file.suggestedFilename());
  await picture(page, 'table-en');
});

for (const [role, pages] of Object.entries({ owner: ['vehicles', 'alerts', 'track', 'zones'], police: ['search', 'area'], operator: ['trackers'] })) {
  await fact(`dark colours can be read on the pages of the ${role}`, { as: role, map: false, args: { colorScheme: 'dark' } }, async (page) => {
    must((await page.getAttribute('html', 'data-theme')) === 'dark', 'as the system has it');
    for (const name of pages) {
      await visit(page, name);
      await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
      await page.waitForFunction(() => !/Loading…/.test(document.querySelector('.panel').textContent));
      await accessible(page, `${name} in dark`);
      await picture(page, `dark-${role}-${name}`);
    }
  });
}

await fact('the reader chooses the colours, and the choice stays', { as: 'owner', map: false, args: { colorScheme: 'dark' } }, async (page) => {
  await page.getByRole('button', { name: 'Colours: as the system' }).click();
  await page.waitForSelector('html[data-theme=light]');
  await page.reload();
  await page.getByRole('button', { name: 'Colours: light' }).click();
  await page.waitForSelector('html[data-theme=dark]');
  must(await isNarrow(page), 'the header fits');
});

await fact('the page can be installed: manifest, icons of every kind, a start in its scope', { map: false }, async (page) => {
  const said = await page.evaluate(async () => {
    const manifest = await (await fetch(document.querySelector('link[rel=manifest]').href)).json();
    const sizes = await Promise.all(manifest.icons.map(async ({ src, sizes }) => {
      const picture = await createImageBitmap(await (await fetch(src)).blob()).catch(() => null);
      return sizes === 'any' || (picture && `${picture.width}x${picture.height}` === sizes);
    }));
    return { ...manifest, sizes };
  });
  must(said.short_name === '行车卫士' && said.start_url === '/' && said.display === 'standalone', JSON.stringify(said));
  must(said.sizes.every(Boolean) && said.icons.some((i) => i.sizes === '192x192') && said.icons.some((i) => i.sizes === '512x512'), 'icons as they say');
  must(said.icons.some((i) => i.purpose === 'maskable'), 'an icon for any shape');
});

await fact('only the installer’s path may use the camera', { map: false }, async () => {
  const allowed = async (path) => (await fetch(`${url}${path}`)).headers.get('permissions-policy');
  must((await allowed('/')).includes('camera=()') && (await allowed('/doors')).includes('camera=()'), 'no camera elsewhere');
  must((await allowed('/door')).includes('camera=(self)') && (await allowed('/door/')).includes('camera=(self)'), 'a camera at the door');
});

await fact('a role without pages of its own has its account, and nothing else', { as: 'owner', map: false }, async (page) => {
  const me = await page.evaluate(async () => (await fetch('/api/v1/me', { headers: { 'x-rideguard': '1' } })).json());
  await answer(page, '/me', 200, { ...me, role: 'auditor', login: 'auditor' });
  await page.reload();
  await page.waitForSelector('nav a[href="#/account"]');
  must((await page.locator('nav a').count()) === 1, 'one page');
  await accessible(page, 'the account alone');
});
