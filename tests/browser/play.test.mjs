// The page of the game in a real browser: SITE=_build/html node --test tests/browser/play.test.mjs
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { openContext } from './browser.mjs'
import { browser, server } from './site.mjs'

const PRESETS = ['two-points', 'two-colours', 'two-moons', 'swiss-roll', 'coin-tosses', 'noisy-labels']

async function withPage(work, { fragment = '', width = 1280, scheme = 'light' } = {}) {
  const { context, page, noted } = await openContext(browser, server.url, { width, scheme })
  try {
    await page.goto(`${server.url}/play.html${fragment}`)
    await page.waitForSelector('#play[data-ready]')
    await frames(page)
    await work(page, context)
    assert.deepEqual([noted.console, noted.external], [[], []])
  } finally {
    await context.close()
  }
}

const frames = page => page.evaluate(() => new Promise(done =>
  requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done)))))
const text = (page, id) => page.textContent(`#play-${id}`)
const rho = async page => { await frames(page); return Number(await text(page, 'rho')) }

// Where a place of the plane, [-3, 3] wide, is on the screen.
async function onScreen(page, [x, y]) {
  const canvas = page.locator('[data-pane=left] canvas')
  await canvas.scrollIntoViewIfNeeded()
  const box = await canvas.boundingBox()
  return [box.x + (x + 3) * box.width / 6, box.y + (3 - y) * box.height / 6]
}

async function dragMouse(page, from, to) {
  const [start, end] = [await onScreen(page, from), await onScreen(page, to)]
  await page.mouse.move(...start)
  await page.mouse.down()
  await page.mouse.move(...end, { steps: 5 })
  await page.mouse.up()
}

async function touches(page, context, places) {
  const session = await context.newCDPSession(page)
  const send = (type, points) => session.send('Input.dispatchTouchEvent',
    { type, touchPoints: points.map(([x, y]) => ({ x, y })) })
  await send('touchStart', [places[0]])
  for (const place of places.slice(1)) await send('touchMove', [place])
  await send('touchEnd', [])
  await frames(page)
}

// Half the distance of the two points of the first preset: gamma sqrt(log 2) / 2.
const HALF = 1.8 * Math.sqrt(Math.log(2)) / 2

test('the page opens on two points with rho = 1/4, in words as well', () => withPage(async page => {
  assert.equal(await rho(page), 0.25)
  assert.equal(await page.getAttribute('#play-bar', 'aria-valuetext'), 'rho is 0.250')
  await page.waitForFunction(() => /2 points: 2 plus, 0 minus; 1 in the green half. Rho is 0.250/
    .test(document.querySelector('#play-summary').textContent))
}))

test('a mouse drags a point, and one undo brings it back', () => withPage(async page => {
  await dragMouse(page, [HALF, 0], [HALF, 2])
  assert.ok(await rho(page) > 0.4)
  assert.match(await text(page, 'status'), /Point 2 of 2, plus, hidden, at 0.7\d, (1.9\d|2.0\d)/)
  await page.click('#play-undo')
  assert.equal(await rho(page), 0.25)
  await page.click('#play-redo')
  assert.ok(await rho(page) > 0.4)
}))

test('coincident points are explained, mended by a nugget, and the game goes on', () => withPage(async page => {
  await dragMouse(page, [HALF, 0], [-HALF, 0])
  await frames(page)
  assert.match(await text(page, 'message'), /Points 1 and 2 lie on top of each other/)
  while (await page.isVisible('#play-message button')) {
    await page.click('#play-message button')
    await frames(page)
  }
  assert.ok(await rho(page) < 1e-3)
  assert.equal((await text(page, 'message')).trim(), '')
}))

test('a click adds a plus or a minus, up to an empty plane and back', () => withPage(async page => {
  await page.locator('input[value=minus]').check({ force: true })
  await page.mouse.click(...await onScreen(page, [0, 2]))
  assert.match(await text(page, 'status'), /Point 3 of 3, minus/)
  await page.click('#play-flip')
  assert.match(await text(page, 'status'), /Point 3 of 3, plus/)
  await page.click('#play-remove')
  for (let i = 0; i < 2; i++) {
    await page.focus('#play-board')
    await page.keyboard.press('n')
    await page.keyboard.press('Delete')
    await frames(page)
    assert.match(await text(page, 'message'), i ? /no points/ : /One point can't be halved/)
  }
  await page.click('[data-preset=two-colours]')
  assert.equal(await rho(page), 0.75)
}))

test('the keyboard alone reaches the board and plays the game', () => withPage(async page => {
  await page.locator('[data-preset]').last().focus()
  await page.keyboard.press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'play-board')
  await page.keyboard.press('n')
  assert.match(await text(page, 'status'), /Point 1 of 2, plus, in the green half/)
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press('Shift+ArrowLeft')
  assert.match(await text(page, 'status'), /at −0.75, 0.05/)
  await page.keyboard.press('f')
  assert.ok(await rho(page) > 0.7)
  await page.keyboard.press('a')
  assert.match(await text(page, 'status'), /Point 3 of 3/)
  await page.keyboard.press('p')
  assert.match(await text(page, 'status'), /Point 2 of 3/)
  await page.keyboard.press('l')
  assert.match(await text(page, 'status'), /1 layer: rho began at/)
  await page.keyboard.press('h')
  await page.keyboard.press('r')
  await page.waitForFunction(() => /[4-9] layers/.test(document.querySelector('#play-layers').textContent))
  await page.keyboard.press('r')
  assert.equal(await text(page, 'run'), 'Run')
  for (let i = 0; i < 12; i++) await page.keyboard.press('Control+z')
  assert.equal(await rho(page), 0.25)
  assert.ok(await page.isDisabled('#play-undo'))
  await page.keyboard.press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'play-run')
}))

test('a finger drags a point without scrolling the page, and scrolls it elsewhere', () => withPage(async (page, context) => {
  const from = await onScreen(page, [HALF, 0])
  const to = await onScreen(page, [HALF, 1.5])
  const scrolled = () => page.evaluate(() => window.scrollY)
  const before = await scrolled()
  await touches(page, context, [from, [from[0], (from[1] + to[1]) / 2], to])
  assert.ok(await rho(page) > 0.35)
  assert.equal(await scrolled(), before)
  await page.locator('input[value=plus]').check({ force: true })
  await touches(page, context, [await onScreen(page, [-2, -2])])
  assert.match(await text(page, 'status'), /Point 3 of 3, plus/)
}, { width: 390 }))

test('on a phone one picture is shown at a time', () => withPage(async page => {
  assert.equal(await page.isVisible('[data-pane=right]'), false)
  for (const [view, caption] of [['fine', /all points/], ['coarse', /green half/], ['lost', /difference/]]) {
    await page.locator(`input[value=${view}]`).check({ force: true })
    await frames(page)
    assert.match(await text(page, 'left-caption'), caption)
  }
}, { width: 390 }))

test('every preset runs, rho falls on average, and undo goes back before the run', () => withPage(async page => {
  for (const preset of PRESETS) {
    await page.click(`[data-preset=${preset}]`)
    const first = await rho(page)
    assert.ok(first > 0 && first < 1)
    await page.click('#play-run')
    await page.waitForFunction(() => /along \d\d+ layers/.test(document.querySelector('#play-layers').textContent))
    await page.click('#play-run')
    await frames(page)
    assert.equal((await text(page, 'message')).trim(), '')
    await page.click('#play-undo')
    assert.equal(await rho(page), first)
  }
}))

test('sliders work by keyboard, and the address holds the game', () => withPage(async (page, context) => {
  await page.click('[data-preset=two-moons]')
  await page.focus('#play-gamma')
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight')
  await page.waitForFunction(() =>
    location.hash.includes(`gamma=${document.querySelector('#play-gamma-value').textContent}&`))
  const [address, seen] = [page.url(), await rho(page)]
  const other = await context.newPage()
  await other.goto(address)
  await other.waitForSelector('#play[data-ready]')
  assert.equal(await rho(other), seen)
  assert.equal(await text(other, 'gamma-value'), await text(page, 'gamma-value'))
  await page.click('#play-share')
  await page.waitForFunction(() =>
    /Copied|address bar/.test(document.querySelector('#play-status').textContent))
}))

test('a run stops where a point would leave the plane, and says so', () => withPage(async page => {
  await page.click('#play-run')
  await page.waitForFunction(() => /leave the plane/.test(document.querySelector('#play-message').textContent))
  assert.equal(await text(page, 'run'), 'Run')
}, { fragment: '#step=0.5&points=-98.6,0,P;-98,0,m' }))

test('an address that is pasted in is taken up, and undo leaves it', () => withPage(async page => {
  await page.evaluate(() => { location.hash = 'preset=two-colours' })
  await page.waitForFunction(() => document.querySelector('#play-rho').textContent === '0.750')
  await page.click('#play-undo')
  assert.equal(await rho(page), 0.25)
}))

for (const [fragment, message] of [
  ['#gamma=-3', /gamma “-3” is not a number from 0.05 to 10/],
  ['#points=0,0,P;1,zero,p;1,1,m', /Point 2, “1,zero,p”/],
  ['#preset=<img src=x onerror=alert(1)>', /no preset “<img/],
  ['#points=%00%FF&gamma=%', /gamma “%”.*Point 1/s],
  ['#points=1,1,P;1,1,m', /lie on top of each other/],
  ['#points=1,1,P', /One point can't be halved/],
  ['#points=', /no points/],
  ['#points=0,0,P;1,0,p;0,1,p', /All points have one label/],
  ['#preset=two-moons&gamma=10&nugget=0', /too close for a γ of 10/],
]) {
  test(`the address ${fragment} is answered in words, and the game goes on`, () => withPage(async page => {
    assert.match(await text(page, 'message'), message)
    await page.click('[data-preset=two-colours]')
    assert.equal(await rho(page), 0.75)
    assert.equal((await text(page, 'message')).trim(), '')
  }, { fragment: encodeURI(fragment).replaceAll('%25', '%') }))
}

test('the anchor of a heading starts no game', () => withPage(async page => {
  assert.equal(await rho(page), 0.25)
  assert.equal((await text(page, 'message')).trim(), '')
}, { fragment: '#keys' }))

test('the canvas follows the theme', () => withPage(async page => {
  const corner = () => page.evaluate(() => {
    const copy = new OffscreenCanvas(8, 8).getContext('2d')
    copy.drawImage(document.querySelector('[data-pane=left] canvas'), 0, 0)
    return [...copy.getImageData(4, 4, 1, 1).data]
  })
  const light = await corner()
  await page.evaluate(() => { document.documentElement.dataset.theme = 'dark' })
  await frames(page)
  const dark = await corner()
  assert.ok(light[0] > 200 && dark[0] < 60, `${light} then ${dark}`)
}))

test('the table says what the canvas shows', () => withPage(async page => {
  await page.click('.play-table summary')
  await page.waitForSelector('#play-rows tr:nth-child(2)')
  const cells = await page.locator('#play-rows tr:first-child td').allTextContents()
  assert.deepEqual(cells.slice(0, 5), ['1', '−0.75', '0.00', 'plus', 'green'])
}))

test('250 points run, and the frame rate is told', () => withPage(async (page, context) => {
  await page.click('#play-run')
  await page.waitForFunction(() => /along \d\d+ layers/.test(document.querySelector('#play-layers').textContent))
  await page.click('#play-run')
  assert.equal((await text(page, 'message')).trim(), '')
  console.log(`250 points: ${await text(page, 'pace')}`)
}, { fragment: `#gamma=0.4&nugget=0.001&points=${spiral(250)}` }))

function spiral(n) {
  const at = i => [Math.cos(2.4 * i), Math.sin(2.4 * i)].map(t => (2.5 * Math.sqrt(i / n) * t).toFixed(3))
  return Array.from({ length: n }, (_, i) => `${at(i).join(',')},${'PpMm'[(i * 7 + (i >> 3)) % 4]}`).join(';')
}

test('opened from a file the page says why it does not play', async () => {
  const page = await browser.newPage()
  await page.goto(pathToFileURL(path.resolve(process.env.SITE ?? '_build/html', 'play.html')).href)
  await page.waitForSelector('#play-offline:not([hidden])')
  await page.close()
})

test('no other page loads the game', async () => {
  const { context, page } = await openContext(browser, server.url, { width: 1280, scheme: 'light' })
  const asked = []
  page.on('request', request => asked.push(request.url()))
  await page.goto(`${server.url}/index.html`)
  assert.deepEqual(asked.filter(url => url.includes('/play/')), [])
  await context.close()
})
