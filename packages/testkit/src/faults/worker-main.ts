// The process of a worker: `startWorker` launches it. Ends by itself when its producer is done, and on SIGTERM.
import { setTimeout as duration } from 'node:timers/promises'
import {
  type AdapterDefinition,
  type ConsumerLoop,
  ConsumerRunner,
  type ConsumerSettings,
  type Handler,
  type Logger,
  type Message,
  Transport,
} from '@streamswitch/core'
import { LedgerReader, LedgerWriter, recordHandler, recordSend } from '../ledger/index.js'
import { heldBytes } from './held-bytes.js'
import {
  type ConsumerRole,
  type MakeHandler,
  type MakeSettings,
  type ProducerRole,
  WORKER_VARIABLE,
  type WorkerSpec,
} from './worker-spec.js'

const say = (line: string): void => void process.stderr.write(`${new Date().toISOString()} ${line}\n`)
const logger: Logger = { debug: () => {}, info: say, warn: say, error: say }

const stopping = new AbortController()

async function main(spec: WorkerSpec): Promise<void> {
  const writer = new LedgerWriter(spec.ledger, spec.name)
  const { default: adapter } = (await import(spec.adapter)) as { readonly default: AdapterDefinition }
  const transport = new Transport(adapter, spec.url, { environment: {}, logger, options: spec.options ?? {} })
  // Nothing here ends the process: what keeps it alive after this is a defect, and the one who waits for its end finds it.
  process.once('SIGTERM', () => {
    writer.write({ did: 'stopping' })
    stopping.abort()
    const { closeTimeoutMs: timeoutMs } = spec.role
    void transport.close(timeoutMs === undefined ? {} : { timeoutMs }).then(() => writer.write({ did: 'stopped' }))
  })
  try {
    await (spec.role.kind === 'producer'
      ? produce(transport, spec, spec.role, writer)
      : consume(transport, spec, spec.role, writer))
  } catch (error) {
    writer.write({ did: 'failure', note: String(error) })
    say(String(error))
    process.exitCode = 1
  }
  await transport.close()
}

/** Sends everything that no earlier life of this worker has a confirmation of, under the same ids, in the same order. */
async function produce(
  transport: Transport,
  spec: WorkerSpec,
  role: ProducerRole,
  writer: LedgerWriter,
): Promise<void> {
  const producer = transport.producer(spec.topic, role.settings ?? {})
  const confirmed = new Set(
    new LedgerReader(spec.ledger).refresh().sends.flatMap(({ id, confirmed }) => (confirmed === true ? [id] : [])),
  )
  await producer.init()
  writer.write({ did: 'ready' })
  const open = new Set<Promise<unknown>>()
  const repeats = role.repeats === true
  for (let turn = 0; (repeats || turn < role.count) && !stopping.signal.aborted; turn += 1) {
    const number = turn % role.count
    const id = `${role.ids ?? spec.name}/${number}`
    if (!repeats && confirmed.has(id)) continue
    if (role.pauseMs !== undefined) await duration(role.pauseMs)
    const key = role.keys[number % role.keys.length]
    const send = recordSend(writer, producer, number, {
      id,
      ...(key === undefined ? {} : { key }),
      ...(role.sequence === true ? { sequence: BigInt(number + 1) } : {}),
    }).finally(() => open.delete(send))
    open.add(send)
    while (open.size >= role.window) await Promise.race(open)
  }
  await Promise.all(open)
}

async function consume(
  transport: Transport,
  spec: WorkerSpec,
  role: ConsumerRole,
  writer: LedgerWriter,
): Promise<void> {
  const { group, handlerMs = 0 } = role
  const settings = { ...role.settings, ...(await makeSettings(role.settingsModule, spec)) }
  const loop = transport.consumer(spec.topic, { ...settings, group } as ConsumerSettings)
  const offsets = transport.capabilities.replay !== false
  loop.on('deduplicated', ({ id }) => writer.write({ did: 'deduplicated', id }))
  const own = role.handler === undefined ? undefined : await makeHandler(role.handler, spec)
  const hurry = new AbortController()
  process.once('SIGUSR2', () => hurry.abort())
  const handler = async (message: Message): Promise<void> => {
    if (handlerMs > 0) await duration(handlerMs, undefined, { signal: hurry.signal }).catch(() => {})
    await own?.(message)
  }
  loop.handle(recordHandler(writer, handler, { acks: settings['ack'] === 'manual', offsets }))
  loop.on('revoked', ({ partitions, how }) => {
    if (partitions.length > 0) writer.write({ did: 'revoked', note: `${partitions.length} ${how}` })
  })
  loop.on('reconnecting', ({ error }) => writer.write({ did: 'reconnecting', note: error.message }))
  noteStalls(loop, writer)
  await loop.init()
  writer.write({ did: 'ready' })
  const watch = role.memoryEveryMs === undefined ? undefined : writeMemory(writer, role.memoryEveryMs)
  await loop.run()
  clearInterval(watch)
}

/** Writes stalls down with what a probe of the process's health is told at that moment. */
function noteStalls(loop: ConsumerLoop, writer: LedgerWriter): void {
  // Never run: it only tells how the loop is.
  const runner = new ConsumerRunner([loop], { signals: [] })
  const note = async (did: 'stalled' | 'recovered', reason: string): Promise<void> => {
    const { live, loops } = await runner.health({ lag: false })
    const why = Object.values(loops)[0]?.stallReason
    writer.write({ did, note: `${reason}; ${live ? 'live' : 'not live'}${why === undefined ? '' : `: ${why}`}` })
  }
  loop.on('stalled', ({ reason }) => void note('stalled', reason))
  loop.on('recovered', ({ reason }) => void note('recovered', reason))
}

function writeMemory(writer: LedgerWriter, everyMs: number): NodeJS.Timeout {
  const write = (): void => writer.write({ did: 'memory', bytes: heldBytes() })
  write()
  return setInterval(write, everyMs)
}

async function makeSettings(module: string | undefined, spec: WorkerSpec): Promise<Awaited<ReturnType<MakeSettings>>> {
  if (module === undefined) return {}
  const { default: make } = (await import(module)) as { readonly default: MakeSettings }
  return make(spec)
}

async function makeHandler(module: string, spec: WorkerSpec): Promise<Handler> {
  const { default: make } = (await import(module)) as { readonly default: MakeHandler }
  return make(spec)
}

await main(JSON.parse(process.env[WORKER_VARIABLE] ?? '') as WorkerSpec)
