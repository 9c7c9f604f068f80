import type { Message } from '@streamswitch/core'
import { expect, it } from 'vitest'
import { Bed, consume } from './support/bed.js'
import { rawRequest } from './support/raw-request.js'

const BATCH = 'application/vnd.streamswitch.batch.v1'

it('names of the prototype chain in headers, queries, bodies and frames change nothing but the message', async () => {
  await using bed = new Bed()
  const transport = await bed.open()
  const messages: Message[] = []
  await consume(transport, 'orders', 'g', (message) => void messages.push(message))
  await consume(transport, 'pings', 'g', (message) => void messages.push(message), { http: { method: 'GET' } })
  const json = 'Content-Type: application/json'
  const encoded = '__proto__=%7B%7D&constructor=c&prototype=p&toString=t'
  const frame = JSON.stringify({ id: 'x' }).replace('}', ',"__proto__":{"polluted":1},"headers":{"__proto__":"h"}}')
  const requests: Parameters<typeof rawRequest>[1][] = [
    { headers: [json, '__proto__: polluted', 'constructor: polluted', 'hasOwnProperty: polluted'] },
    { headers: [json, `streamswitch-encoded-headers: ${encoded}`] },
    { headers: [json, 'streamswitch-headers: __proto__,constructor', '__proto__: h'] },
    { headers: [json], body: '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}' },
    { headers: [`Content-Type: ${BATCH}`], body: frame },
    { headers: ['streamswitch-except: __proto__'], target: '/orders' },
    { headers: ['streamswitch-attempt: {"__proto__":{"polluted":1}}'], target: '/orders' },
  ]
  for (const request of requests) await rawRequest(transport.base, { target: '/orders/g', ...request })
  const query = '__proto__[polluted]=1&__proto__=2&constructor[prototype][polluted]=3&a=4'
  const answer = await rawRequest(transport.base, { method: 'GET', target: `/pings/g?${query}`, body: '' })
  expect(answer.status).toBe(204)
  expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('polluted')
  for (const { headers, value } of messages) {
    expect(Object.getPrototypeOf(headers) === Object.prototype || Object.getPrototypeOf(headers) === null).toBe(true)
    for (const text of Object.values(headers)) expect(typeof text).toBe('string')
    const isPlain = typeof value !== 'object' || value === null || Object.getPrototypeOf(value) === Object.prototype
    expect(isPlain, JSON.stringify(value)).toBe(true)
  }
  expect(messages.length).toBeGreaterThan(4)
  expect((await rawRequest(transport.base, { target: '/orders/g', headers: [json] })).status).toBe(204)
})
