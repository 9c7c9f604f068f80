import { randomBytes } from 'node:crypto'
import { type Logger, type Message, Transport } from '@streamswitch/core'
import { Redis } from 'ioredis'
import { onTestFinished } from 'vitest'
import redis from '../src/index.js'

/** A name that no other test has. */
export function unique(what: string): string {
  return `${what}-${randomBytes(6).toString('hex')}`
}

/** Resolves when the condition holds; the test's own timeout is the limit. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** A transport that is closed with the test, and what it logged. */
export function openRedis(
  url: string,
  options: Readonly<Record<string, unknown>> = {},
): Transport & { readonly lines: string[] } {
  const lines: string[] = []
  const note = (message: string): void => void lines.push(message)
  const logger: Logger = { debug: () => {}, info: note, warn: note, error: note }
  const transport = new Transport(redis, url, { options, environment: {}, logger })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return Object.assign(transport, { lines })
}

/** A plain client, as somebody else would use it. */
export function plainClient(url: string): Redis {
  const client = new Redis(url, { retryStrategy: () => 50 })
  client.on('error', () => {})
  onTestFinished(() => client.disconnect())
  return client
}

/** What a loop's handler saw. */
export interface Seen {
  readonly id: string
  readonly key: string | undefined
  readonly value: unknown
  readonly attempt: number
  readonly partition: number
  readonly message: Message
}

export function seenOf(message: Message): Seen {
  const { id, key, value, attempt, partition } = message
  return { id, key, value, attempt, partition, message }
}

/** Checks that the first handlings of each key are in the order of their numbers, none missing. */
export function firstHandlings(seen: readonly Seen[]): Map<string, number[]> {
  const byKey = new Map<string, number[]>()
  const known = new Set<string>()
  for (const { id, key, value } of seen) {
    if (known.has(id)) continue
    known.add(id)
    const list = byKey.get(key ?? '') ?? []
    list.push(value as number)
    byKey.set(key ?? '', list)
  }
  return byKey
}
