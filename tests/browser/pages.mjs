// Visit pages of a built site and write what is wrong with each, as JSON:
//   node pages.mjs SITE REPORT PAGE... [--settings light-1280,dark-390] [--shots FOLDER]
import { createRequire } from 'node:module'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { launch, openContext, serve } from './browser.mjs'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const COLOURS = ['color-contrast', 'link-in-text-block']  // the rules that the theme decides
const MATHS = /(^|[^\\])(\\\(|\\\[|\$)/

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { settings: { type: 'string', default: 'light-1280,dark-1280,light-390,dark-390' }, shots: { type: 'string' } },
})
const [site, report, ...pages] = positionals

// Settle: fonts and maths are there, sizes do not change any more.
async function settle(page) {
  await page.evaluate(async () => {
    await document.fonts.ready
    if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise
    await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  })
}

// The system changes to the other scheme, and the page follows it.
async function change(page, scheme) {
  await page.emulateMedia({ colorScheme: scheme })
  await page.waitForFunction(name => document.documentElement.dataset.theme === name, scheme, { timeout: 30_000 })
}

// Everything that can be seen wrong from inside the page.
function inspect(mathsPattern) {
  const maths = new RegExp(mathsPattern)
  const found = []
  const width = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth > width) {
    const wide = [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > width + 1)
    const named = wide.slice(0, 3).map(e => `${e.tagName.toLowerCase()}.${e.className}`)
    found.push(`overflow: ${document.documentElement.scrollWidth} px in ${width}: ${named.join(', ')}`)
  }
  for (const image of document.images) {
    if (!image.hasAttribute('alt')) found.push(`no alt text: ${image.src}`)
    if (image.complete && image.naturalWidth === 0 && image.loading !== 'lazy') found.push(`broken image: ${image.src}`)
  }
  for (const element of document.querySelectorAll('.math')) {
    if (!element.querySelector('mjx-container')) found.push(`maths not typeset: ${element.textContent.slice(0, 60)}`)
  }
  for (const error of document.querySelectorAll('mjx-merror, [data-mjx-error]')) {
    found.push(`maths error: ${error.getAttribute('data-mjx-error') ?? error.textContent}`)
  }
  const walker = document.createTreeWalker(document.querySelector('main') ?? document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const node = walker.currentNode
    if (maths.test(node.data) && !node.parentElement.closest('pre, code, script, style, textarea, mjx-container')) {
      found.push(`raw maths: ${node.data.trim().slice(0, 60)}`)
    }
  }
  for (const figure of document.querySelectorAll('main figure')) {
    if (!figure.querySelector('figcaption')) found.push(`figure without caption: ${figure.id}`)
  }
  for (const error of document.querySelectorAll('main .system-message, main .problematic')) {
    found.push(`left over by the build: ${error.textContent.slice(0, 60)}`)
  }
  return found
}

async function keyboard(page) {
  // Tab reaches the link to the content first, and the search after it.
  const problems = []
  await page.evaluate(() => { document.activeElement?.blur(); window.scrollTo(0, 0) })
  const reached = []
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab')
    reached.push(await page.evaluate(() => {
      const e = document.activeElement
      return `${e.getAttribute('href') ?? ''} ${e.className} ${e.getAttribute('aria-label') ?? ''}`
    }))
  }
  if (!reached.some(text => text.includes('#main-content'))) problems.push('keyboard: no way to skip to the content')
  await page.keyboard.press('Control+k')
  const searching = await page.evaluate(() => document.activeElement?.matches('input[type=search]'))
  if (!searching) problems.push('keyboard: Ctrl+K does not open the search')
  await page.keyboard.press('Escape')
  return problems
}

const server = await serve(path.resolve(site))
const browser = await launch()
const results = []
const schemes = {}  // by width: a page is loaded once for its light and its dark
for (const [scheme, width] of values.settings.split(',').map(setting => setting.split('-'))) {
  (schemes[width] ??= []).push(scheme)
}
for (const width in schemes) {
  for (const name of pages) {
    const { context, page, noted } = await openContext(browser, server.url, { scheme: schemes[width][0], width: Number(width) })
    let sizes = 0
    page.on('response', async response => {
      if (response.url().includes('/mathjax/')) return
      try { sizes += (await response.body()).length } catch { /* a redirect or a cancelled request has none */ }
    })
    for (const [position, scheme] of schemes[width].entries()) {
      const problems = []
      try {
        if (position === 0) await page.goto(`${server.url}/${name}`, { waitUntil: 'load', timeout: 180_000 })  // of a busy machine
        else await change(page, scheme)
        await settle(page)
        problems.push(...await page.evaluate(inspect, MATHS.source))
        if (position === 0) await page.evaluate(AXE)
        const runOnly = position === 0 ? AXE_TAGS : { type: 'rule', values: COLOURS }
        const axe = await page.evaluate(runOnly => window.axe.run(document, { runOnly, resultTypes: ['violations'] }), runOnly)
        for (const violation of axe.violations) {
          for (const node of violation.nodes.slice(0, 4)) problems.push(`axe ${violation.id}: ${node.html.slice(0, 140)}`)
        }
        if (values.shots) {
          mkdirSync(values.shots, { recursive: true })
          const file = `${name.replace(/\W+/g, '-')}-${scheme}-${width}.png`
          await page.screenshot({ path: path.join(values.shots, file), fullPage: true })
        }
        if (scheme === 'light' && width === '1280') problems.push(...await keyboard(page))
      } catch (error) {
        problems.push(`the visit failed: ${String(error).slice(0, 300)}`)
      }
      problems.push(...noted.console.splice(0).map(text => `console: ${text.slice(0, 200)}`))
      problems.push(...noted.external.splice(0).map(url => `external request: ${url}`))
      if (position === 0 && sizes > 1.5e6) problems.push(`size: ${sizes} bytes without MathJax`)
      results.push({ page: name, setting: `${scheme}-${width}`, problems, bytes: sizes })
    }
    await context.close()
  }
}
await browser.close()
server.close()
writeFileSync(report, JSON.stringify(results, null, 1))
