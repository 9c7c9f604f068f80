import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Logger, type Message, Transport, type TransportOptions } from '@streamswitch/core'
import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterEach } from 'vitest'
import type { ConnectionSource } from '../../src/connection.js'
import rabbitmqStream from '../../src/index.js'
import { type StreamSettings, streamFields } from '../../src/options.js'
import { BROKER_URL } from './broker.js'

const POLL_MS = 10
const open: Transport[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((transport) => transport.close({ timeoutMs: 1_000 })))
})

/** A transport of the suite's broker, or another; closed after the test. */
export function openStream(
  options: Readonly<Record<string, unknown>> = {},
  url: string = BROKER_URL,
  more: TransportOptions = {},
): Transport {
  const transport = new Transport(rabbitmqStream, url, { environment: {}, logger: QUIET, ...more, options })
  open.push(transport)
  return transport
}

const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A name that no other test has. */
export function unique(purpose: string): string {
  return `${purpose}-${randomBytes(6).toString('hex')}`
}

/** Resolves once the condition holds; the test's own time limit ends it otherwise. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(POLL_MS)
}

/** What a handler saw. */
export interface Seen {
  readonly value: number
  readonly key: string | undefined
  readonly attempt: number
}

export function seenOf(message: Message<number>): Seen {
  return { value: message.value, key: message.key, attempt: message.attempt }
}

/** By key, the values in the order of their first handling. */
export function firstHandlings(seen: readonly Seen[]): ReadonlyMap<string, readonly number[]> {
  const byKey = new Map<string, Set<number>>()
  for (const { key = '', value } of seen) {
    const values = byKey.get(key) ?? new Set()
    values.add(value)
    byKey.set(key, values)
  }
  return new Map([...byKey].map(([key, values]) => [key, [...values]]))
}

export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number)
}

/**
 * A broker of the test's own that may be killed. RabbitMQ loses its stream coordinator when it is killed within about a second
 * of the first stream that is ever made on it, so that this one is made, and is old enough, before the test begins.
 */
export async function killableBroker(): Promise<{ readonly broker: BrokerHandle; readonly url: string }> {
  const broker = await startBroker('rabbitmq')
  const url = broker.urls['rabbitmq-stream'] ?? ''
  const transport = openStream({}, url)
  await transport.admin.provision(transport.topicSpec('first-stream'))
  const made = Date.now()
  await until(() => Date.now() - made > 2_000)
  return { broker, url }
}

/** What drivers connect with, for tests of the parts below them. */
export function sourceOf(url: string): ConnectionSource {
  const { hostname, port, username, password } = new URL(url)
  const defaults = Object.fromEntries(Object.entries(streamFields).map(([name, field]) => [name, field.defaultValue]))
  const settings = { ...defaults, hosts: [`${hostname}:${port}`], username, password } as unknown as StreamSettings
  return {
    settings,
    context: {
      logger: QUIET,
      clientId: 'test',
      prefix: '',
      nativeTopics: {},
      nativeGroups: {},
      requires: [],
      environment: {},
    },
  }
}
