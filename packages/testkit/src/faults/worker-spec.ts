import type { ConsumerSettings, Handler, TransportOptions } from '@streamswitch/core'

/** Settings of a worker process: JSON, in the variable `WORKER_VARIABLE`. */
export interface WorkerSpec {
  /** Name of the process in the ledger, and of its file there. A restarted worker keeps it. */
  readonly name: string
  /** Folder of the ledger. */
  readonly ledger: string
  /** Module whose default export is the adapter: a package name, or the `file:` URL of its built entry. */
  readonly adapter: string
  readonly url: string
  /** The transport's options, as in `openTransport(url, { options })`. */
  readonly options?: TransportOptions['options']
  readonly topic: string
  readonly role: ProducerRole | ConsumerRole
}

interface Role {
  /** Maximum time for its producer or loop to end on SIGTERM, in milliseconds; default: theirs. */
  readonly closeTimeoutMs?: number
}

/** A worker that sends numbered messages, `window` at a time, and stops after the last one. */
export interface ProducerRole extends Role {
  readonly kind: 'producer'
  /** Options of the producer; JSON only. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Total number of messages, over all lives. Their ids are `<name>/<number>`, counted from 0. */
  readonly count: number
  /** Prefix of ids, instead of `<name>`: producers that share it send the same messages. */
  readonly ids?: string
  /** It starts over after the last one, including confirmed messages, until it is killed. Default false. */
  readonly repeats?: boolean
  /** The keys, used in turn. */
  readonly keys: readonly string[]
  /** Maximum number of sends without an outcome at once. */
  readonly window: number
  /** Sends carry `sequence`, their number + 1. Default false. */
  readonly sequence?: boolean
  /** Milliseconds between two sends; default 0. */
  readonly pauseMs?: number
}

/** A worker that handles messages until it is stopped. */
export interface ConsumerRole extends Role {
  readonly kind: 'consumer'
  readonly group: string
  /** Options of the loop; JSON only. With `ack: 'manual'` the worker acks and records the outcome. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** How long a handler takes, in milliseconds, until `hurry()` is called; default 0. */
  readonly handlerMs?: number
  /**
   * Module (package name or `file:` URL) whose default export is a {@link MakeHandler}: what the handler does in
   * addition.
   */
  readonly handler?: string
  /** Module whose default export is a {@link MakeSettings}: options in addition to `settings`. */
  readonly settingsModule?: string
  /** How often it collects garbage and records how much memory is still in use, in milliseconds. Default: never. */
  readonly memoryEveryMs?: number
}

/** Creates options of a worker's loop that JSON can't represent, once per life. */
export type MakeSettings = (spec: WorkerSpec) => LoopSettings | Promise<LoopSettings>

type LoopSettings = Partial<Omit<ConsumerSettings, 'group'>>

/** Creates the handler of a worker, once per life. What it throws is a failed attempt. */
export type MakeHandler = (spec: WorkerSpec) => Handler | Promise<Handler>

/** The environment variable that holds a worker's spec. */
export const WORKER_VARIABLE = 'STREAMSWITCH_WORKER'
