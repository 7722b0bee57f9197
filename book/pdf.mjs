// Print SITE/print.html to PDF: node pdf.mjs SITE PDF
import path from 'node:path'
import { launch, serve } from '../tests/browser/browser.mjs'

const [site, pdf] = process.argv.slice(2)
const server = await serve(path.resolve(site))
const browser = await launch()
const page = await browser.newPage({ colorScheme: 'light', reducedMotion: 'reduce' })
await page.goto(`${server.url}/print.html`, { waitUntil: 'load', timeout: 120_000 })
await page.evaluate(async () => {
  await document.fonts.ready
  await window.MathJax?.startup?.promise
  for (const image of document.images) image.loading = 'eager'
  await Promise.all([...document.images].map(image => image.decode().catch(() => {})))
})
const footer = `<div style="width: 100%; font: 8px sans-serif; text-align: center; color: #555">
  <span class="pageNumber"></span></div>`
await page.pdf({
  path: pdf, format: 'A4', outline: true, tagged: true, displayHeaderFooter: true, printBackground: true,
  headerTemplate: '<span></span>', footerTemplate: footer, scale: 0.82,
  margin: { top: '18mm', bottom: '18mm', left: '19mm', right: '19mm' }, timeout: 300_000,
})
await browser.close()
server.close()
