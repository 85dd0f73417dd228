// The page behind a share link: asks where the vehicle is every 2 s: a link that was revoked shows nothing after 5 s. The token stands behind the # and goes out in the body only.
'use strict'

const ZH = {
  title: '车辆实时位置', loading: '正在读取…', none: '事件开始以后还没有收到位置，请稍候。',
  gone: '链接无效，或者已经结束。', offline: '暂时连不上，正在重试…', often: '请求太频繁，稍后重试…',
  coordinates: '坐标（WGS-84）', time: '定位时间', speed: '速度', ago: '（{s} 秒前）',
  amap: '在高德地图中打开', geo: '在地图应用中打开',
  note: '这个页面每 2 秒更新一次，最迟到 {t} 结束。不要独自靠近车辆，请报警：110。',
  live: '位置正在更新。',
}
const EN = {
  title: 'Live place of a vehicle', loading: 'Loading…', none: 'No place has come since the incident began. Please wait.',
  gone: 'There is no such link, or it has ended.', offline: 'Cannot be reached now; trying again…', often: 'Too many requests; trying again…',
  coordinates: 'Coordinates (WGS-84)', time: 'Measured at', speed: 'Speed', ago: ' ({s} s ago)',
  amap: 'Open in Amap', geo: 'Open in a map app',
  note: 'This page is updated every 2 s and ends at {t} at the latest. Do not go near alone; call the police.',
  live: 'The place is being updated.',
}
const isChinese = (navigator.language || 'zh').toLowerCase().startsWith('zh')
const words = isChinese ? ZH : EN
const EVERY_MS = 2000
/** Longest that an answer is waited for. */
const ANSWER_MAX_MS = 2000
const at = (id) => document.getElementById(id)
// Kept for this page alone: a reload is another opening.
let visit = null

document.documentElement.lang = isChinese ? 'zh-CN' : 'en'
document.title = words.title
at('title').textContent = words.title
at('state').textContent = words.loading
for (const name of ['coordinates', 'time', 'speed']) at(name + '-name').textContent = words[name]
at('amap').textContent = words.amap
at('geo').textContent = words.geo

function say(text) {
  if (at('state').textContent !== text) at('state').textContent = text
}

function show(view) {
  const place = view.place
  for (const id of ['place', 'links']) at(id).hidden = !place
  at('note').textContent = words.note.replace('{t}', new Date(view.expires_at).toLocaleString())
  if (!place) return say(words.none)
  const [lat, lon] = [place.lat.toFixed(6), place.lon.toFixed(6)]
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(place.fixed_at)) / 1000))
  at('coordinates').textContent = lat + ', ' + lon
  at('time').textContent = new Date(place.fixed_at).toLocaleString() + words.ago.replace('{s}', String(seconds))
  at('speed').textContent = place.speed_kmh === null ? '–' : Math.round(place.speed_kmh) + ' km/h'
  at('amap').href = 'https://uri.amap.com/marker?position=' + lon + ',' + lat + '&coordinate=wgs84'
  at('geo').href = 'geo:' + lat + ',' + lon + '?q=' + lat + ',' + lon
  say(words.live)
}

function hide(text) {
  for (const id of ['place', 'links']) at(id).hidden = true
  at('note').textContent = ''
  say(text)
}

async function ask() {
  const token = location.hash.slice(1)
  let answer
  try {
    answer = await fetch('/api/v1/share', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(visit ? { token, visit } : { token }),
      credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer', signal: AbortSignal.timeout(ANSWER_MAX_MS),
    })
  } catch {
    say(words.offline)
    return true
  }
  if (answer.status === 404 || answer.status === 400) {
    hide(words.gone)
    return false
  }
  if (!answer.ok) {
    say(answer.status === 429 ? words.often : words.offline)
    return true
  }
  const view = await answer.json()
  visit = view.visit
  show(view)
  return true
}

async function run() {
  while (await ask()) await new Promise((done) => setTimeout(done, EVERY_MS))
}

addEventListener('hashchange', () => location.reload())
run()
