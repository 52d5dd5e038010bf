// A peer made of WebTorrent, in Node or in a page of a headless Chromium.
//
// node webtorrent_peer.mjs MODULES version
// node webtorrent_peer.mjs MODULES get|seed TORRENT FOLDER PORT                exits when everything is there | says `seeding`
// node webtorrent_peer.mjs MODULES page TORRENT FOLDER PORT CHROMIUM          a page downloads, and its files are kept in FOLDER
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { createRequire } from 'node:module'

const [modules, command, source, folder, port, chromium] = process.argv.slice(2)
const require = createRequire(path.join(modules, 'x.js'))
const inside = file => path.join(modules, file)

// Only trackers bring peers together here.
const options = { dht: false, lsd: false, utPex: false, natUpnp: false, natPmp: false, utp: false, tracker: { rtcConfig: { iceServers: [] } } }

async function torrent () {
  if (!source.startsWith('http')) return fs.readFileSync(source)
  return Buffer.from(await (await fetch(source)).arrayBuffer())
}

async function inNode () {
  const { default: WebTorrent } = await import(inside('webtorrent/index.js'))
  const client = new WebTorrent({ ...options, torrentPort: Number(port) })
  client.on('error', error => { console.error(error.message); process.exit(1) })
  client.add(await torrent(), { path: folder }, added => {
    added.on('warning', warning => console.log('warning', warning.message || warning))
    added.on('wire', wire => console.log('wire', wire.type, wire.remoteAddress))
    added.on('done', () => {
      console.log('seeding')
      // It says so to the tracker, and then has nothing left to do.
      if (command === 'get') client.destroy(() => process.exit(0))
    })
  })
}

/// A page, its script, and the files that it sends back, by one server on this host.
async function inPage () {
  const { chromium: browser } = require(process.env.PLAYWRIGHT)
  const bytes = await torrent()
  const server = http.createServer((request, response) => {
    if (request.method === 'PUT') {
      const file = path.join(folder, decodeURIComponent(request.url))
      fs.mkdirSync(path.dirname(file), { recursive: true })
      request.pipe(fs.createWriteStream(file)).on('finish', () => response.end())
    } else if (request.url === '/webtorrent.js') {
      response.setHeader('content-type', 'text/javascript')
      fs.createReadStream(inside('webtorrent/dist/webtorrent.min.js')).pipe(response)
    } else if (request.url === '/torrent') {
      response.end(bytes)
    } else {
      response.setHeader('content-type', 'text/html')
      response.end('<!doctype html><title>peer</title>')
    }
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'sower-page-'))
  const context = await browser.launchPersistentContext(profile, {
    executablePath: chromium,
    headless: true,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-features=WebRtcHideLocalIpsWithMdns']
  })
  try {
    const page = context.pages()[0]
    page.on('console', message => console.log('page:', message.text()))
    await page.goto(`http://127.0.0.1:${server.address().port}/`)
    await page.evaluate(async options => {
      const { default: WebTorrent } = await import('/webtorrent.js')
      const client = new WebTorrent(options)
      const bytes = new Uint8Array(await (await fetch('/torrent')).arrayBuffer())
      await new Promise((resolve, reject) => {
        client.on('error', reject)
        client.add(bytes, torrent => {
          torrent.on('warning', warning => console.log('warning', warning.message || warning))
          torrent.on('wire', wire => console.log('wire', wire.type))
          torrent.on('done', async () => {
            for (const file of torrent.files) {
              const body = file.length ? await file.blob() : new Blob()
              await fetch('/' + file.path.split('/').map(encodeURIComponent).join('/'), { method: 'PUT', body })
            }
            client.destroy(resolve)
          })
        })
      })
    }, options)
  } finally {
    await context.close()
    server.close()
    fs.rmSync(profile, { recursive: true, force: true })
  }
  process.exit(0)
}

if (command === 'version') console.log(JSON.parse(fs.readFileSync(inside('webtorrent/package.json'))).version)
else if (command === 'page') await inPage()
else await inNode()
