// Logging in and out, a phone, a browser without a map.
import { accessible, fact, isNarrow, liveVehicles, logIn, mapIsReady, must, picture, visit } from './harness.mjs';

await fact('a wrong password is told and lets nobody in', { expected: /status of 401/ }, async (page) => {
  await page.fill('input[name=login]', 'owner');
  await page.fill('input[name=password]', 'wrong');
  await page.click('button.primary');
  await page.waitForSelector('[role=alert]');
  must((await page.textContent('[role=alert]')).includes('wrong'), 'the reason is told');
  await picture(page, 'login-en');
});

await fact('the page speaks Chinese, also on a phone', { locale: 'zh-CN', width: 390, height: 844 }, async (page) => {
  must((await page.textContent('button.primary')) === '登录', 'Chinese by the browser');
  await picture(page, 'login-zh-phone');
  await logIn(page, 'owner');
  await mapIsReady(page);
  await liveVehicles(page, 1);
  await page.waitForSelector('article.card');
  await picture(page, 'owner-vehicles-zh-phone');
  await accessible(page, 'vehicles on a phone');
  const pages = ['vehicles', 'alerts', 'track', 'zones'];
  for (const name of pages) {
    await visit(page, name);
    await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
    await picture(page, `owner-${name}-zh-phone`);
    must(await isNarrow(page), `${name} fits the phone`);
  }
  await page.getByRole('button', { name: 'English' }).click();
  await page.waitForSelector('nav >> text=Zones');
  must((await page.getAttribute('html', 'lang')) === 'en', 'the language is told to screen readers');
  for (const name of pages) {
    await visit(page, name);
    await page.waitForSelector(`nav a[aria-current][href="#/${name}"]`);
    await picture(page, `owner-${name}-en-phone`);
    must(await isNarrow(page), `${name} fits the phone in English`);
  }
});

// A question that is on its way while its session ends is refused.
await fact('a session of the tab goes on after a reload, and ends with logging out', { map: false, expected: /status of 401/ }, async (page) => {
  await logIn(page, 'owner');
  await page.reload();
  await page.waitForSelector('article.card');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForSelector('input[name=login]');
  await page.reload();
  await page.waitForSelector('input[name=login]');
});

await fact('without WebGL everything but the map works', { map: false }, async (page) => {
  await logIn(page, 'owner');
  await page.waitForSelector('text=no WebGL2');
  await page.waitForSelector('article.card');
  await visit(page, 'track');
  await page.waitForSelector('[data-fixes], .panel p:has-text("No fixes in this time")');
});
