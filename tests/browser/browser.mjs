// What every browser test shares: a server of a folder, Debian's Chromium, and no network beyond it.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import path from 'node:path'
import { chromium } from 'playwright-core'

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript',
  '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png', '.json': 'application/json',
  '.woff2': 'font/woff2', '.csv': 'text/csv', '.txt': 'text/plain', '.xml': 'application/xml',
  '.pdf': 'application/pdf',
}

export function findChromium() {
  const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome', '/Applications/Chromium.app/Contents/MacOS/Chromium']
  return places.find(place => place && existsSync(place))
}

// Serve `folder` on a free port of this machine; returns { url, close }.
export async function serve(folder) {
  const server = createServer(async (request, response) => {
    let file = path.join(folder, decodeURIComponent(new URL(request.url, 'http://x').pathname))
    if (file.endsWith(path.sep)) file += 'index.html'
    try {
      const body = await readFile(file)
      response.writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' })
      response.end(body)
    } catch {
      response.writeHead(404)
      response.end('not found')
    }
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

export function launch() {
  return chromium.launch({
    executablePath: findChromium(),
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
  })
}

// A page that can reach `origin` only; what it complains of or asks elsewhere is noted.
export async function openContext(browser, origin, { width, scheme, reducedMotion = 'reduce' }) {
  const context = await browser.newContext({
    viewport: { width, height: width < 600 ? 844 : 900 }, colorScheme: scheme, reducedMotion,
    hasTouch: width < 600,
  })
  const noted = { console: [], external: [], bytes: 0 }
  await context.route('**', route => {
    const url = route.request().url()
    if (url.startsWith(origin) || /^(data|blob):/.test(url)) return route.continue()
    noted.external.push(url)
    return route.abort()
  })
  const page = await context.newPage()
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) noted.console.push(message.text())
  })
  page.on('pageerror', error => noted.console.push(String(error)))
  page.on('response', async response => {
    if (response.status() >= 400) noted.console.push(`${response.status()} ${response.url()}`)
  })
  return { context, page, noted }
}
