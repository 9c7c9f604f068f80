import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { expect, inject, onTestFinished } from 'vitest'
import { OUTPUT, SNIPPETS } from './folders.js'

export const WAIT = { timeout: 60_000, interval: 50 }

/** A snippet that runs in a process of its own. */
export interface RunningSnippet {
  /** What it printed to standard output, by lines. */
  readonly lines: readonly string[]
  /** Ids of the orders that it charged, in order. */
  readonly charged: readonly string[]
  /** Sends SIGTERM, as an orchestrator does, and resolves when the process has ended. */
  stop(): Promise<void>
  /** Resolves with the exit code and what it printed to standard error. */
  readonly ended: Promise<{ readonly code: number | null; readonly errors: string }>
}

/** What a topic or group of a page is called in this run. */
export function nameIn(page: string, name: 'orders' | 'billing'): string {
  return `${name}_${page}_${inject('suffix')}`
}

/** The snippets of one page, with names of their own in this run. */
export class Recipe {
  readonly #page: string
  readonly #environment: Readonly<Record<string, string>>

  constructor(page: string, environment: Readonly<Record<string, string>>) {
    this.#page = page
    this.#environment = environment
  }

  /** As {@link nameIn}. */
  nameOf(name: 'orders' | 'billing'): string {
    return nameIn(this.#page, name)
  }

  /** Starts a snippet. It is killed when the test ends, with whatever it has started. */
  async start(file: string, ...args: readonly string[]): Promise<RunningSnippet> {
    const isPython = file.endsWith('.py')
    const program = isPython ? await brokerTool('python-clients') : process.execPath
    const path = isPython ? join(SNIPPETS, this.#page, file) : join(OUTPUT, this.#page, file.replace(/\.ts$/, '.js'))
    const { QUEUE_TYPE: _type, STREAMSWITCH_URL: _url, STREAMSWITCH_PREFIX: _prefix, ...environment } = process.env
    const child = spawn(program, [path, ...args], {
      cwd: SNIPPETS,
      detached: true,
      env: { ...environment, ...this.#environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    onTestFinished(() => {
      try {
        // The whole group: some clients fork.
        process.kill(-(child.pid ?? 0), 'SIGKILL')
      } catch {
        // It has ended.
      }
    })
    const lines: string[] = []
    const charged: string[] = []
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line)
      const id = /^charged (\S+)$/.exec(line)?.[1]
      if (id !== undefined) charged.push(id)
    })
    let errors = ''
    child.stderr.on('data', (data) => {
      errors += String(data)
    })
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, errors }))
    return {
      lines,
      charged,
      ended,
      stop: async () => {
        child.kill('SIGTERM')
        await ended
      },
    }
  }

  /** Runs a snippet to its end, which must be a good one. */
  async run(file: string, ...args: readonly string[]): Promise<readonly string[]> {
    const snippet = await this.start(file, ...args)
    const { code, errors } = await snippet.ended
    expect(code, `${file} ended with:\n${errors}`).toBe(0)
    return snippet.lines
  }
}

/** Orders that are sent and charged by several programs. */
export class Orders {
  readonly sent: string[] = []
  readonly #members: RunningSnippet[] = []

  /** Ids of so many further orders. */
  next(count: number): string[] {
    const ids = Array.from({ length: count }, (_, index) => `order-${this.sent.length + index}`)
    this.sent.push(...ids)
    return ids
  }

  /** Counts what this program charges from now on. */
  chargedBy<T extends RunningSnippet>(member: T): T {
    this.#members.push(member)
    return member
  }

  /** Resolves once everything that was sent is charged; rejects where an order was charged twice, or one that nobody sent. */
  async allOnce(): Promise<void> {
    const charged = () => this.#members.flatMap((member) => member.charged)
    await expect.poll(() => new Set(charged()).size, WAIT).toBe(this.sent.length)
    expect(charged().toSorted()).toEqual(this.sent.toSorted())
  }
}

/** Sends through a snippet until every one of these members has charged something of one lot. */
export async function untilShared(
  orders: Orders,
  send: (ids: readonly string[]) => Promise<unknown>,
  members: readonly RunningSnippet[],
) {
  for (;;) {
    const before = members.map(({ charged }) => charged.length)
    await send(orders.next(20))
    await orders.allOnce()
    if (members.every(({ charged }, index) => charged.length > (before[index] ?? 0))) return
  }
}
