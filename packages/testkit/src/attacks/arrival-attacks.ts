import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { uniqueName } from '../conformance/names.js'
import type { ForeignClient, RawFields } from '../conformance/settings.js'
import type { AttackedLoopState, AttackedLoopTask } from './attacked-loop.js'

/** What the cases need to know of an adapter. */
export interface ArrivalAttackSettings {
  readonly adapter: AdapterDefinition
  /** Module whose default export it is, for the attacked process: the `file:` URL of its built entry. */
  readonly module: string
  readonly url: string
  /** A client that writes whatever it likes in the places of ids, timestamps and headers. */
  readonly foreign: ForeignClient
  /** Largest id that this client can write, in bytes. Default 100,000. */
  readonly idBytes?: number
}

const LOOP = fileURLToPath(new URL('./attacked-loop.js', import.meta.url))
const COUNT = 10
/** Starting a process, and a dozen of a client's, on a busy machine. */
const START_MS = 120_000
/** What may be kept of `COUNT` messages: less than any of the attacks sends. */
const KEPT_BYTES = 1024 * 1024
const POLL_MS = 25

/**
 * Declares attacks by a sender who may produce to a topic, on a running process: it lives, it handles honest messages, no line of its log is
 * forged, and what it remembers and computes stays bounded.
 */
export function arrivalAttacks(settings: ArrivalAttackSettings): void {
  const idBytes = settings.idBytes ?? 100_000
  const controls = (text: string): string => `${text}\r\n2026-01-01T00:00:00Z ERROR forged \u001b[2J`
  describe(`${settings.adapter.name} under attack by a sender`, () => {
    const attacks: [string, (index: number) => RawFields][] = [
      ['large ids', (index) => ({ id: `${index}-${'i'.repeat(idBytes)}` })],
      [
        'long ids that differ at their ends alone',
        (index) => ({ id: `${'i'.repeat(Math.min(idBytes, 20_000))}${index}` }),
      ],
      ['ids with line breaks and escape sequences', (index) => ({ id: controls(String(index)) })],
      ['timestamps that no Date can hold', (index) => ({ id: `time-${index}`, timestamp: '9'.repeat(1 + index * 40) })],
      ['headers beyond the limit', (index) => ({ id: `large-${index}`, headers: { large: 'x'.repeat(60_000) } })],
      ['a thousand headers', (index) => ({ id: `many-${index}`, headers: manyHeaders(1_000) })],
      [
        'reserved headers of its own',
        (index) => ({ id: `reserved-${index}`, headers: reservedHeaders(controls('x')) }),
      ],
    ]
    let loop: AttackedLoop | undefined
    let honest: Cost | undefined
    beforeAll(async () => {
      loop = await AttackedLoop.start(settings)
      honest = await loop.cost((index) => ({ id: `honest-${index}` }))
    }, START_MS)
    afterAll(() => loop?.[Symbol.asyncDispose]())
    test.each(attacks)('%s', { timeout: START_MS }, async (_title, raw) => {
      if (loop === undefined || honest === undefined) throw new Error('the loop was not started')
      const hostile = await loop.cost(raw)
      const { ids, forgedLines, timestamps } = await loop.state()
      expect(new Set(ids).size, 'every message is handled, and told from the others').toBe(ids.length)
      for (const id of ids) expect(Buffer.byteLength(id)).toBeLessThanOrEqual(256)
      for (const timestamp of timestamps) expect(new Date(timestamp).getTime()).toBe(timestamp)
      expect(forgedLines).toEqual([])
      expect(hostile.heapBytes, 'what is kept of them').toBeLessThan(KEPT_BYTES)
      expect(hostile.cpuMicros, 'work').toBeLessThan(honest.cpuMicros * 10 + 200_000)
    })
  })
}

function manyHeaders(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`h${index}`, 'x']))
}

function reservedHeaders(value: string): Record<string, string> {
  const names = ['reply-to', 'error', 'origin-topic', 'attempts', 'replayed', 'settles', 'request-id', 'unknown']
  return Object.fromEntries(names.map((name) => [`streamswitch-${name}`, value]))
}

/** Time of the process's processor, and memory that it keeps. */
interface Cost {
  readonly cpuMicros: number
  readonly heapBytes: number
}

class AttackedLoop implements AsyncDisposable {
  readonly #settings: ArrivalAttackSettings
  readonly #task: AttackedLoopTask
  readonly #child: ChildProcess
  #rounds = 0

  private constructor(settings: ArrivalAttackSettings, task: AttackedLoopTask, child: ChildProcess) {
    this.#settings = settings
    this.#task = task
    this.#child = child
  }

  static async start(settings: ArrivalAttackSettings): Promise<AttackedLoop> {
    const task: AttackedLoopTask = {
      module: settings.module,
      url: settings.url,
      topic: uniqueName('topic'),
      group: uniqueName('group'),
      consumer: {},
    }
    const child = fork(LOOP, [JSON.stringify(task)], {
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    await once(child, 'message')
    return new AttackedLoop(settings, task, child)
  }

  #write(raw: RawFields): Promise<void> {
    const { topic, group } = this.#task
    return this.#settings.foreign.write(topic, { body: Buffer.from('x'), key: 'k', raw }, group)
  }

  async state(): Promise<AttackedLoopState> {
    const answer = once(this.#child, 'message')
    this.#child.send('state')
    const [state] = (await answer) as [AttackedLoopState]
    return state
  }

  async until(condition: (state: AttackedLoopState) => boolean): Promise<void> {
    for (;;) {
      expect(this.#child.exitCode, 'the process lives').toBeNull()
      if (condition(await this.state())) return
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** What `COUNT` messages and an honest one behind them cost the process. */
  async cost(raw: (index: number) => RawFields): Promise<Cost> {
    const before = await this.state()
    this.#rounds += 1
    for (let index = 0; index < COUNT; index += 1) await this.#write(raw(index))
    await this.#write({ id: `behind-${this.#rounds}` })
    await this.until(({ ids }) => ids.length === before.ids.length + COUNT + 1)
    const after = await this.state()
    return { cpuMicros: after.cpuMicros - before.cpuMicros, heapBytes: after.heapBytes - before.heapBytes }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await using transport = new Transport(this.#settings.adapter, this.#settings.url, { environment: {} })
    await transport.admin.deleteTopic(transport.topicSpec(this.#task.topic))
  }
}
