// Figures in a real browser: SITE=_build/html node --test tests/browser/figures.test.mjs
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openContext } from './browser.mjs'
import { browser, server } from './site.mjs'

async function withPage(name, work, options = {}) {
  const settings = { width: 1280, scheme: 'light', ...options }
  const { context, page, noted } = await openContext(browser, server.url, settings)
  try {
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url })
    await page.goto(`${server.url}/${name}`)
    await work(page)
    assert.deepEqual([noted.console, noted.external], [[], []])
  } finally {
    await context.close()
  }
}

test('Cite opens, copies BibTeX, and closes with Escape', () =>
  withPage('game.html', async page => {
    const line = page.locator('#game-many-rounds .kf-line')
    const cite = line.locator('summary', { hasText: 'Cite' })
    await cite.focus()
    await page.keyboard.press('Enter')
    await line.getByRole('button', { name: 'Copy BibTeX' }).click()
    await line.getByText('Copied').waitFor()
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^@misc\{kflow-game-many-rounds,/)
    await page.keyboard.press('Escape')
    assert.equal(await page.locator('.kf-panel[open]').count(), 0)
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Cite/)
  }))

test('one panel is open at a time, inside the page on a telephone', () =>
  withPage('game.html', async page => {
    const summaries = page.locator('#game-many-rounds .kf-line summary')
    for (let i = 0; i < await summaries.count(); i++) {
      await summaries.nth(i).click()
      assert.equal(await page.locator('.kf-panel[open]').count(), 1)
      const box = await page.locator('.kf-panel[open] > div').boundingBox()
      assert.ok(box.x >= 0 && box.x + box.width <= 390, JSON.stringify(box))
    }
  }, { width: 390 }))

test('the data and the record are files beside the figure', () =>
  withPage('figures/game-many-rounds/', async page => {
    for (const link of await page.locator('.kf-line a').all()) {
      const address = await link.evaluate(a => a.href)
      assert.equal((await page.request.get(address)).status(), 200, address)
    }
  }))

// The light image of the first animation of a page.
const picture = page =>
  page.locator('.kf-images:has(.kf-player)').first().locator('img.only-light')

test('an animation plays and pauses', () =>
  withPage('game.html', async page => {
    const player = page.locator('.kf-player').first()
    await player.getByRole('button').click()
    assert.equal(await player.getByRole('button').textContent(), 'Pause')
    await page.waitForFunction(() => document.querySelector('.kf-player input').value !== '0')
    await player.getByRole('button').click()
    assert.match(await picture(page).getAttribute('src'), /-\d{3}\.png$/)
  }, { reducedMotion: 'no-preference' }))

test('under reduced motion an animation only steps', () =>
  withPage('game.html', async page => {
    const player = page.locator('.kf-player').first()
    assert.equal(await player.locator('button').isVisible(), false)
    await player.locator('input').fill('1')
    assert.match(await picture(page).getAttribute('src'), /-001\.png$/)
  }))

test('the box writes the command of a changed parameter', () =>
  withPage('game.html', async page => {
    await page.locator('.kf-run > summary').click()
    await page.getByLabel('seed').fill('7')
    const commands = await page.locator('.kf-run pre').allTextContents()
    assert.equal(commands[0], 'python -m kflow run game -p seed 7')
    assert.equal(commands[1], 'papermill notebooks/game.ipynb out.ipynb -p seed 7')
  }))

const heights = page => page.$$eval('.kf-images img', images => images.map(i => Math.round(i.getBoundingClientRect().height)))

for (const scheme of ['light', 'dark']) {
  test(`room is left for the ${scheme} figures before they come`, async () => {
    const { context, page } = await openContext(browser, server.url, { width: 1280, scheme })
    let come
    const coming = new Promise(resolve => { come = resolve })
    await page.route('**/_images/**', async route => { await coming; await route.fallback() })
    await page.goto(`${server.url}/flow.html`, { waitUntil: 'domcontentloaded' })
    await page.waitForFunction(() => [...document.querySelectorAll('link[rel=stylesheet]')].every(link => link.sheet))
    const before = await heights(page)
    assert.equal(before.filter(height => height > 100).length, before.length / 2, `${before}`)
    come()
    await page.$$eval('.kf-images img', images => images.forEach(image => { image.loading = 'eager' }))
    await page.waitForFunction(() => [...document.querySelectorAll('.kf-images img')].every(image => image.naturalWidth))
    assert.deepEqual(await heights(page), before)
    await context.close()
  })
}
