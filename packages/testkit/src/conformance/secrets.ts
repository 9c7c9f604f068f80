import { inspect } from 'node:util'
import type { Transport, TransportOptions } from '@streamswitch/core'
import { expect } from 'vitest'
import type { Bench } from './bench.js'
import { within } from './collect.js'
import { shownForms } from './expect-error.js'
import type { Suite } from './suite.js'
import { absentUrl } from './unreachable.js'

/** Has what URLs, headers and files write in other ways. */
const SECRET = 'wrong-secret é/+=&'
const USER = 'somebody'

/** How a secret may be written where it doesn't stand as it is. */
const FORMS: readonly string[] = [
  SECRET,
  'wrong-secret',
  encodeURIComponent(SECRET),
  JSON.stringify(SECRET).slice(1, -1),
  Buffer.from(SECRET).toString('base64').slice(0, 12),
  Buffer.from(`${USER}:${SECRET}`).toString('base64').slice(0, 16),
  Buffer.from(SECRET).toString('hex'),
]

/** Secrets, wherever they were given, are in no error, log line, event or view of anything. */
export function secrets(suite: Suite): void {
  suite.describe('secrets are never shown', () => {
    suite.test('from the URL, whatever is wrong with it', {}, async (bench) => {
      const seen = new Seen(bench)
      const url = withPassword(await absentUrl(suite, bench))
      await seen.provoke(() => bench.transport({}, url))
      const raw = url.replace(encodeURIComponent(SECRET), SECRET)
      for (const broken of [
        `${url}:0`,
        url.replace('://', ':/'),
        `${url}/?a=%zz&nonsense=wrong-secret`,
        `${url}?password=${encodeURIComponent(SECRET)}&nonsense=1`,
        raw,
        raw.replace('@', '@@'),
        url.replace('://', '://host-without-end,'),
      ])
        await seen.provoke(() => bench.transport({}, broken))
      seen.holdsNone()
    })

    const ways = waysToGive(suite)
    if (ways.length > 0)
      suite.test('from options and environment, right or wrong', {}, async (bench) => {
        const seen = new Seen(bench)
        const url = await absentUrl(suite, bench)
        for (const extra of ways) await seen.provoke(() => bench.transport(extra, url))
        seen.holdsNone()
      })

    suite.test('where TLS fails, or the server speaks something else', {}, async (bench) => {
      const seen = new Seen(bench)
      const options = { tlsCaFile: '/nowhere/ca.pem' }
      for (const scheme of suite.settings.adapter.schemes) {
        const url = withPassword(bench.url).replace(/^[^:]+/, scheme)
        await seen.provoke(() => bench.transport({}, url), true)
        await seen.provoke(() => bench.transport({ options }, url), true)
      }
      seen.holdsNone()
    })
  })
}

/** What tests saw that a user might see. */
class Seen {
  readonly #bench: Bench
  readonly #texts: string[] = []

  constructor(bench: Bench) {
    this.#bench = bench
  }

  /** Opens a transport and does with it what fails. */
  async provoke(open: () => Transport, silent = false): Promise<void> {
    let transport: Transport
    try {
      transport = open()
    } catch (error) {
      this.#note(error)
      return
    }
    const { topic, group } = this.#bench
    const producer = transport.producer(topic, { connectTimeoutMs: 300, sendTimeoutMs: 300 })
    const loop = transport.consumer(topic, { group, connectTimeoutMs: 300 })
    loop.handle(() => {})
    for (const event of ['error', 'reconnecting'] as const) loop.on(event, (payload) => this.#note(payload))
    for (const event of ['error', 'reconnecting'] as const) producer.on(event, (payload) => this.#note(payload))
    await within(
      Promise.all([
        this.#failing(producer.send(1)),
        this.#failing(loop.init()),
        // Where nothing answers, administration has its own, longer patience.
        ...(silent ? [] : [this.#failing(transport.admin.topics())]),
      ]),
      'the outcome of calls that fail',
    )
    for (const one of [transport, producer, loop, transport.url]) this.#note(one)
    await transport.close({ timeoutMs: 0 })
  }

  holdsNone(): void {
    expect(this.#texts.length, 'there was something to look at').toBeGreaterThan(0)
    for (const text of [...this.#texts, ...this.#bench.log])
      for (const form of FORMS) expect(text.includes(form) ? `${form} in: ${text.slice(0, 3_000)}` : '').toBe('')
  }

  async #failing(call: Promise<unknown>): Promise<void> {
    await call.catch((error: unknown) => this.#note(error))
  }

  #note(value: unknown): void {
    this.#texts.push(value instanceof Error ? shownForms(value) : inspect(value, { depth: 12, showHidden: true }))
  }
}

/** Every option that holds a secret, by code and by variable, as it should be and as it shouldn't. */
function waysToGive(suite: Suite): TransportOptions[] {
  const { adapter } = suite.settings
  const names = Object.keys(adapter.options).filter((name) => adapter.options[name]?.secret === true)
  return names.flatMap((name): TransportOptions[] => {
    const variable = adapter.options[name]?.environment
    return [
      { options: { [name]: SECRET } },
      { options: { username: USER, [name]: SECRET } },
      { options: { [name]: SECRET, nonsense: SECRET } },
      { options: { [name]: { wrong: SECRET } } },
      { options: { [name]: () => Promise.reject(new Error('the store is down')) } },
      ...(variable === undefined ? [] : [{ environment: { [variable]: SECRET } }]),
    ]
  })
}

function withPassword(url: string): string {
  const [scheme = '', rest = ''] = url.split('://')
  return `${scheme}://${USER}:${encodeURIComponent(SECRET)}@${rest.slice(rest.lastIndexOf('@') + 1)}`
}
