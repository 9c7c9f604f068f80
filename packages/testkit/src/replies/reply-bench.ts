import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ConsumerLoop, type Handler, type Logger, type Reply, Transport } from '@streamswitch/core'
import type { TestContext } from 'vitest'
import { Watch, within } from '../conformance/collect.js'
import { uniqueName } from '../conformance/names.js'
import type { FaultStand } from '../faults/suite/settings.js'
import { startWorker, type Worker } from '../faults/worker.js'
import { LedgerReader } from '../ledger/index.js'
import { CALLER_VARIABLE, type CallerSpec } from './caller-spec.js'
import type { ReplyFaultSettings } from './settings.js'

/** The shortest that a transport takes. */
const REPLY_TTL_MS = 15_000
const PARTITIONS = 4
export const GROUP = 'answering'

/** The table that one fault is tried at: names of its own below a prefix of its own, and whoever asks and answers there. */
export class ReplyBench {
  readonly settings: ReplyFaultSettings
  readonly stand: FaultStand
  readonly topic = uniqueName('topic')
  readonly prefix = `${uniqueName('p')}.`
  readonly reader: LedgerReader
  readonly #watch = new Watch()
  readonly #atEnd: TestContext['onTestFinished']

  constructor(settings: ReplyFaultSettings, stand: FaultStand, atEnd: TestContext['onTestFinished']) {
    this.settings = settings
    this.stand = stand
    this.reader = new LedgerReader(mkdtempSync(join(tmpdir(), 'streamswitch-replies-')))
    this.#atEnd = atEnd
    atEnd(() => rmSync(this.reader.folder, { recursive: true, force: true }))
  }

  get takeoverMs(): number {
    return this.settings.takeoverMs ?? 15_000
  }

  transport(url = this.stand.url): Transport {
    const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
    const options = this.#options()
    const transport = new Transport(this.settings.adapter, url, { environment: {}, logger: quiet, options })
    this.#atEnd(() => transport.close({ timeoutMs: 0 }))
    return transport
  }

  /** A loop of this process that answers, joined. */
  async responder(handler: Handler): Promise<ConsumerLoop> {
    const loop = this.transport(this.stand.receiverUrl).consumer(this.topic, {
      group: GROUP,
      partitions: PARTITIONS,
      concurrency: 100,
      ...this.settings.consumer,
    })
    loop.handle(handler)
    void loop.run()
    await loop.init()
    return loop
  }

  /** Processes that answer with `reply-handler`, joined. */
  async workers(names: readonly string[]): Promise<Worker[]> {
    const started = names.map((name) =>
      startWorker({
        name,
        ledger: this.reader.folder,
        adapter: this.settings.module,
        url: this.stand.receiverUrl ?? this.stand.url,
        options: this.#options(),
        topic: this.topic,
        role: {
          kind: 'consumer',
          group: GROUP,
          handler: new URL('./reply-handler.js', import.meta.url).href,
          settings: { partitions: PARTITIONS, connectTimeoutMs: 20_000, ...this.settings.consumer },
        },
      }),
    )
    const workers = await Promise.all(started)
    this.#atEnd(async () => {
      for (const worker of workers) await worker.kill()
    })
    return workers
  }

  /** Starts a process that asks; `answered` resolves when it has a part of every reply. */
  caller(requests: number): { readonly answered: Promise<void>; kill(): Promise<void> } {
    const { module, options } = { module: this.settings.module, options: this.#options() }
    const spec: CallerSpec = { adapter: module, url: this.stand.url, options, topic: this.topic, requests }
    const child = fork(fileURLToPath(new URL('./caller-main.js', import.meta.url)), {
      env: { ...process.env, [CALLER_VARIABLE]: JSON.stringify(spec) },
    })
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const kill = (): Promise<void> => {
      child.kill('SIGKILL')
      return gone
    }
    this.#atEnd(kill)
    const answered = new Promise<void>((resolve) => child.once('message', () => resolve()))
    return { answered: within(answered, 'a part of every reply', 25_000), kill }
  }

  until(condition: () => boolean, what: string, timeoutMs = 25_000): Promise<void> {
    return this.#watch.until(condition, what, undefined, timeoutMs)
  }

  #options(): Readonly<Record<string, unknown>> {
    return { ...this.settings.options, prefix: this.prefix, replyTtlMs: REPLY_TTL_MS }
  }
}

/** What a reply came to: all of its parts that could be read, and the code of the error that ended it. */
export async function outcomeOf<Part>(
  reply: Reply<Part>,
): Promise<{ readonly parts: Part[]; readonly code: string | undefined }> {
  const parts: Part[] = []
  try {
    for await (const part of reply) parts.push(part)
    return { parts, code: undefined }
  } catch (error) {
    return { parts, code: (error as { readonly code?: string }).code ?? String(error) }
  }
}
