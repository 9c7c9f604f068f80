import { type AdapterDefinition, type Message, Transport } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { describe, expect, it, onTestFinished } from 'vitest'
import http from '../src/index.js'
import { until } from './support/bed.js'

const TIMEOUT = { timeout: 60_000 }
const TOKEN = 'a-token-of-the-service'

/** A transport that isn't HTTP to core: its requests come by HTTP, and replies to them go elsewhere. */
const other: AdapterDefinition = { ...http, name: 'other' }

async function freshUrl(): Promise<string> {
  return `http://127.0.0.1:${await findFreePort()}`
}

function open(
  adapter: AdapterDefinition,
  url: string,
  options: Readonly<Record<string, unknown>> = {},
  feedback?: Transport,
): Transport {
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const more = feedback === undefined ? {} : { feedback }
  const transport = new Transport(adapter, url, { environment: {}, logger: silent, options, ...more })
  onTestFinished(() => transport.close({ timeoutMs: 0 }))
  return transport
}

async function serve(transport: Transport, topic: string, handler: (message: Message) => unknown) {
  const loop = transport.consumer(topic, { group: 'g', retry: { attempts: 1 } })
  loop.handle(handler)
  void loop.run().catch(() => {})
  await loop.init()
  return loop
}

/** A request by hand, with any reply address. */
function post(url: string, replyTo: string, headers: Record<string, string> = {}): Promise<Response> {
  const reserved = { 'streamswitch-encoded-headers': `streamswitch-reply-to=${encodeURIComponent(replyTo)}` }
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...reserved, ...headers },
    body: '"forged"',
  })
}

describe('a service whose replies travel by HTTP', () => {
  it.each([
    ['answers', (message: Message) => message.value],
    ['fails', () => Promise.reject(new Error('not done'))],
  ])(
    'posts to no topic that a message names, and answers its callers: a handler that %s',
    TIMEOUT,
    async (_title, handler) => {
      const [service, caller] = [await freshUrl(), await freshUrl()]
      // Whoever reads replies there has other topics as well, which only the service may post to.
      const inboxes = open(http, caller, { listenToken: TOKEN })
      const paid: unknown[] = []
      await serve(inboxes, 'payments', (message) => void paid.push(message.value))
      await serve(inboxes, 'streamswitch-replies', (message) => void paid.push(message.value))
      const answering = open(other, service, {}, open(http, caller, { token: TOKEN }))
      await serve(answering, 'asked', handler)
      const names = [
        'payments',
        'streamswitch-replies',
        'streamswitch-replies.',
        'streamswitch-replies.a/../payments',
        '../payments',
        'payments?x',
        'response.payments',
      ]
      for (const name of names) {
        const { status } = await post(`${service}/asked/g`, `streamswitch:1:http:${name}#x`)
        expect([204, 500, 422]).toContain(status)
      }
      const asking = open(other, service, {}, inboxes)
      const reply = asking.producer('asked').request('honest', { timeoutMs: 30_000 })
      if (handler.length === 1) expect(await reply.read()).toBe('honest')
      else await expect(reply.read()).rejects.toMatchObject({ message: expect.stringContaining('not done') as unknown })
      expect(paid).toEqual([])
      await open(http, caller, { token: TOKEN }).producer('payments').send('paid')
      expect(paid).toEqual(['paid'])
    },
  )
})

describe('a response that a caller waits for', () => {
  it('is reached by no request under an id that is made up', TIMEOUT, async () => {
    const url = await freshUrl()
    const service = open(http, url)
    let asked = ''
    let answer: () => void = () => {}
    const gate = new Promise<void>((resolve) => {
      answer = resolve
    })
    await serve(service, 'asked', async (message) => {
      if (message.value === 'forged') return 'forged'
      asked = message.replyTo ?? ''
      await gate
      return message.value
    })
    const pending = open(http, url).producer('asked').request('honest', { timeoutMs: 30_000 })
    await until(() => asked !== '', 'the request')
    const requestId = asked.slice(asked.indexOf('#') + 1)
    const [instance = '', id = ''] = requestId.split('.')
    expect(id).toMatch(/^[\w-]{22}$/)
    const guesses = [`${instance}.1`, `${instance}.2`, instance, id, `${instance}.`, `${instance}.${id.slice(1)}`]
    for (const guess of guesses)
      for (const inbox of ['response.x', `response.${guess}`, `response.${instance}`]) {
        const response = await post(`${url}/asked/g`, `streamswitch:1:http:${inbox}#${guess}`)
        expect(await response.text(), 'it is answered itself').toContain('forged')
      }
    answer()
    expect(await pending.read()).toBe('honest')
    expect(await pending.read()).toBeUndefined()
  })

  it('is the only place that a loop answers at', TIMEOUT, async () => {
    const url = await freshUrl()
    const refusals: unknown[] = []
    await serve(open(http, url), 'asked', async (message) => {
      await message.respond('x').catch((error: unknown) => refusals.push(error))
    })
    for (const inbox of ['payments', '', 'http://127.0.0.1:1/x', 'RESPONSE.x', 'responses'])
      expect((await post(`${url}/asked/g`, `streamswitch:1:http:${inbox}#x`)).status).toBe(204)
    expect(refusals).toHaveLength(5)
    for (const refusal of refusals) expect(refusal).toMatchObject({ code: 'PERMISSION_DENIED', retryable: false })
  })
})
