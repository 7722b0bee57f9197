// The moving picture of the cover: SITE=_build/html node --test tests/browser/cover.test.mjs
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openContext } from './browser.mjs'
import { browser, server } from './site.mjs'

async function withCover(reducedMotion, work) {
  const { context, page, noted } = await openContext(browser, server.url,
    { width: 1280, scheme: 'light', reducedMotion })
  try {
    await page.goto(`${server.url}/index.html`)
    await page.waitForSelector('.cover-ready')
    await work(page)
    assert.deepEqual([noted.console, noted.external], [[], []])
  } finally {
    await context.close()
  }
}

const layers = async page => parseInt(await page.textContent('.cover output'), 10)
const moves = async (page, from) => page.waitForFunction(at =>
  parseInt(document.querySelector('.cover output').textContent, 10) !== at, from)

test('the picture moves by itself, and a button stops it and lets it go on', () =>
  withCover('no-preference', async page => {
    await moves(page, 0)
    await page.click('.cover button')
    assert.equal(await page.textContent('.cover button'), 'Play')
    const stopped = await layers(page)
    await page.waitForTimeout(300)
    assert.equal(await layers(page), stopped)
    await page.focus('.cover button')
    await page.keyboard.press('Enter')
    await moves(page, stopped)
  }))

test('under reduced motion it stands still at its end until it is asked to move', () =>
  withCover('reduce', async page => {
    const end = await layers(page)
    assert.ok(end > 100)
    await page.waitForTimeout(300)
    assert.equal(await layers(page), end)
    await page.click('.cover button')
    await moves(page, end)
  }))

test('the picture has words, and its figure is a link away', () => withCover('reduce', async page => {
  assert.match(await page.getAttribute('.cover canvas', 'aria-label'), /arms/)
  assert.match(await page.getAttribute('.cover a', 'href'), /swiss_roll\.html#swiss-roll-unrolling/)
}))
