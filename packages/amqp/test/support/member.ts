import { randomBytes } from 'node:crypto'
import {
  type ConsumerLoop,
  type ConsumerSettings,
  type Logger,
  type Message,
  type Producer,
  Transport,
  type TransportOptions,
} from '@streamswitch/core'
import { expect } from 'vitest'
import adapter from '../../src/index.js'

const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** A name that no other test has. */
export function uniqueName(purpose: string): string {
  return `${purpose}-${randomBytes(6).toString('hex')}`
}

export function openTransport(
  url: string,
  options: Readonly<Record<string, unknown>> = {},
  more: TransportOptions = {},
): Transport {
  const own = { memberIntervalMs: 200, ...options }
  return new Transport(adapter, url, { environment: {}, logger: quiet, ...more, options: own })
}

/** One start of a handler that succeeded. */
export interface Handled {
  readonly member: string
  readonly key: string | undefined
  readonly number: number
  readonly attempt: number
  /** When, by the clock that all processes of a machine share, in microseconds. */
  readonly at: number
}

export interface TestMember {
  readonly name: string
  readonly transport: Transport
  readonly loop: ConsumerLoop<number>
  readonly errors: unknown[]
  running: Promise<void>
}

export interface MemberSettings {
  readonly url: string
  readonly topic: string
  readonly group: string
  readonly name: string
  readonly handled: Handled[]
  readonly handler?: (message: Message<number>) => unknown
  readonly options?: Readonly<Record<string, unknown>>
  readonly settings?: Partial<Omit<ConsumerSettings<number>, 'group'>>
}

/** A member that has joined and runs, on a transport of its own, as a process of its own would. */
export async function startMember({
  url,
  topic,
  group,
  name,
  handled,
  handler = () => undefined,
  options = {},
  settings = {},
}: MemberSettings): Promise<TestMember> {
  const transport = openTransport(url, { clientId: name, ...options })
  const loop = transport.consumer<number>(topic, {
    group,
    concurrency: 16,
    retry: { attempts: 5, minDelayMs: 5, maxDelayMs: 50, factor: 2, when: () => true },
    ...settings,
  })
  const errors: unknown[] = []
  loop.on('error', (error) => errors.push(error))
  loop.handle(async (message) => {
    await handler(message)
    const at = Number(process.hrtime.bigint() / 1_000n)
    handled.push({ member: name, key: message.key, number: message.value, attempt: message.attempt, at })
  })
  await loop.init()
  return { name, transport, loop, errors, running: loop.run() }
}

/** Numbers sent under keys, and what became of each. */
export class Sender {
  readonly confirmed: number[] = []
  readonly failed: unknown[] = []
  readonly producer: Producer<number>
  readonly #keys: number
  #count = 0
  #open = 0

  constructor(producer: Producer<number>, keys = 32) {
    this.producer = producer
    this.#keys = keys
  }

  get sent(): number {
    return this.#count
  }

  get unconfirmed(): number {
    return this.#open
  }

  /** Sends the next numbers, without waiting. */
  send(count: number): void {
    for (let index = 0; index < count; index += 1) {
      const number = this.#count
      this.#count += 1
      this.#open += 1
      this.producer.send(number, { key: `key-${number % this.#keys}` }).then(
        () => {
          this.#open -= 1
          this.confirmed.push(number)
        },
        (error: unknown) => {
          this.#open -= 1
          this.failed.push(error)
        },
      )
    }
  }
}

/** Fails unless everything confirmed was handled, and each key's first handlings are in the order of sending. Returns the number of duplicates. */
export function expectCompleteInOrder(sender: Sender, handled: readonly Handled[]): number {
  const seen = new Set<number>()
  const latest = new Map<string | undefined, number>()
  const overtaken: string[] = []
  for (const { key, number } of [...handled].sort((left, right) => left.at - right.at)) {
    if (seen.has(number)) continue
    seen.add(number)
    if (number < (latest.get(key) ?? -1)) overtaken.push(`${key}: ${number} after ${latest.get(key)}`)
    latest.set(key, number)
  }
  expect(
    sender.confirmed.filter((number) => !seen.has(number)),
    'confirmed and never handled',
  ).toEqual([])
  expect(overtaken, 'handled after a later one of its key').toEqual([])
  return handled.length - seen.size
}

export function isComplete(sender: Sender, handled: readonly Handled[]): boolean {
  if (sender.unconfirmed > 0) return false
  const seen = new Set(handled.map(({ number }) => number))
  return sender.confirmed.every((number) => seen.has(number))
}
