// One server of the built site and one browser for the tests of a file, opened and closed around them.
import path from 'node:path'
import { after, before } from 'node:test'
import { launch, serve } from './browser.mjs'

export let server, browser

before(async () => {
  server = await serve(path.resolve(process.env.SITE ?? '_build/html'))
  browser = await launch()
})
after(async () => {
  await browser.close()
  server.close()
})
