import type { ForeignClient } from '@streamswitch/testkit'
import { managementUrl } from './broker.js'

const AUTHORIZATION = `Basic ${Buffer.from('guest:guest').toString('base64')}`

/** A call of the broker's HTTP API, in the virtual host `/`. */
export async function callApi<T>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const init = { method, headers: { authorization: AUTHORIZATION, 'content-type': 'application/json' } }
  const response = await fetch(
    `${managementUrl}/api/${path}`,
    body === undefined ? init : { ...init, body: JSON.stringify(body) },
  )
  const text = await response.text()
  if (!response.ok && response.status !== 404) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return (text === '' ? undefined : JSON.parse(text)) as T
}

interface ApiMessage {
  readonly payload: string
  readonly payload_encoding: 'string' | 'base64'
  readonly properties: { readonly headers?: Readonly<Record<string, unknown>> }
}

/** A client of the broker that shares nothing with amqplib: its own HTTP API. */
export const managementApi: ForeignClient = {
  name: 'the management API',
  raw: 'everything',
  oversizedBytes: 3_000_000,

  async write(topic, { body, key, raw = {} }) {
    const headers = { 'streamswitch-id': raw.id, 'streamswitch-timestamp': raw.timestamp, ...raw.headers }
    const message = {
      properties: { headers },
      routing_key: key ?? '',
      payload: body.toString('base64'),
      payload_encoding: 'base64',
    }
    const { routed } = await callApi<{ routed: boolean }>(
      'POST',
      `exchanges/%2F/${encodeURIComponent(topic)}/publish`,
      message,
    )
    if (!routed) throw new Error(`nothing is bound to '${topic}'`)
  },

  async prepareRead(topic) {
    await callApi('PUT', `queues/%2F/${queueFor(topic)}`, { durable: true, arguments: { 'x-queue-type': 'classic' } })
    await callApi('POST', `bindings/%2F/e/${encodeURIComponent(topic)}/q/${queueFor(topic)}`, { routing_key: '0' })
  },

  async read(topic, count) {
    const found: ApiMessage[] = []
    while (found.length < count) {
      found.push(
        ...(await callApi<ApiMessage[]>('POST', `queues/%2F/${queueFor(topic)}/get`, {
          count,
          ackmode: 'ack_requeue_false',
          encoding: 'auto',
        })),
      )
    }
    await callApi('DELETE', `queues/%2F/${queueFor(topic)}`)
    return found.map((message) => ({
      body: Buffer.from(message.payload, message.payload_encoding === 'base64' ? 'base64' : 'utf8'),
      key: message.properties.headers?.['streamswitch-key'] as string | undefined,
    }))
  },
}

function queueFor(topic: string): string {
  return encodeURIComponent(`${topic}:foreign`)
}
