// What became of a deleted account: the receipt stands behind the # and goes out in the body only.
'use strict'

const ZH = {
  title: '注销证明', loading: '正在读取…', gone: '没有这个回执。', offline: '暂时连不上，正在重试…',
  pending: '账号已停用，数据正在删除，通常几分钟完成。请保留本页地址，它就是您的回执。',
  done: '您的数据已删除。', save: '下载证明（JSON）',
  note: '证明列出删除了哪些记录、哪些依法保留以及原因。',
}
const EN = {
  title: 'Proof of erasure', loading: 'Loading…', gone: 'There is no such receipt.', offline: 'Cannot be reached now; trying again…',
  pending: 'The account is closed and its data are being erased, which takes some minutes. Keep the address of this page: it is your receipt.',
  done: 'Your data have been erased.', save: 'Download the proof (JSON)',
  note: 'The proof lists what was erased, what the law keeps, and why.',
}
const isChinese = (navigator.language || 'zh').toLowerCase().startsWith('zh')
const words = isChinese ? ZH : EN
const EVERY_MS = 5000
const at = (id) => document.getElementById(id)

document.documentElement.lang = isChinese ? 'zh-CN' : 'en'
document.title = words.title
at('title').textContent = words.title
at('state').textContent = words.loading
at('save').textContent = words.save

async function ask() {
  let answer
  try {
    answer = await fetch('/api/v1/erasure-proof', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ receipt: location.hash.slice(1) }),
      credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer',
    })
  } catch {
    at('state').textContent = words.offline
    return true
  }
  if (answer.status === 404 || answer.status === 400) {
    at('state').textContent = words.gone
    return false
  }
  if (!answer.ok) {
    at('state').textContent = words.offline
    return true
  }
  const proof = await answer.json()
  at('state').textContent = proof.done ? words.done : words.pending
  if (!proof.done) return true
  at('note').textContent = words.note
  at('save').href = URL.createObjectURL(new Blob([JSON.stringify(proof, null, 2)], { type: 'application/json' }))
  at('save').hidden = false
  return false
}

async function run() {
  while (await ask()) await new Promise((done) => setTimeout(done, EVERY_MS))
}

addEventListener('hashchange', () => location.reload())
run()
