import type { ConsumerSettings, Handler, TransportOptions } from '@streamswitch/core'

/** What a worker process is told: JSON, in the variable `WORKER_VARIABLE`. */
export interface WorkerSpec {
  /** Names the process in the ledger, and its file there. A restarted worker keeps it. */
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
  /** How long its producer or loop may take to end on SIGTERM, in milliseconds; default: theirs. */
  readonly closeTimeoutMs?: number
}

/** A worker that sends numbered messages, `window` at a time, and stops by itself after the last one. */
export interface ProducerRole extends Role {
  readonly kind: 'producer'
  /** Options of the producer; JSON only. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Messages altogether, over all lives. Their ids are `<name>/<number>`, counted from 0. */
  readonly count: number
  /** What ids begin with, in place of `<name>`: producers that share it send the same messages. */
  readonly ids?: string
  /** It begins anew after the last one, also with what is confirmed, until it is killed. Default false. */
  readonly repeats?: boolean
  /** The keys take turns. */
  readonly keys: readonly string[]
  /** Sends without an outcome at once, at most. */
  readonly window: number
  /** Sends carry `sequence`, their number + 1. Default false. */
  readonly sequence?: boolean
  /** Milliseconds between two sends; default 0. */
  readonly pauseMs?: number
}

/** A worker that handles what comes until it is told to stop. */
export interface ConsumerRole extends Role {
  readonly kind: 'consumer'
  readonly group: string
  /** Options of the loop; JSON only. With `ack: 'manual'` the worker acks by itself and writes down what became of it. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** How long a handler takes, in milliseconds, until the worker is told to hurry; default 0. */
  readonly handlerMs?: number
  /** Module (package name or `file:` URL) whose default export is a {@link MakeHandler}: what is done besides. */
  readonly handler?: string
  /** Module whose default export is a {@link MakeSettings}: options besides `settings`. */
  readonly settingsModule?: string
  /** How often it collects garbage and writes down how much memory is left in use, in milliseconds. Default: never. */
  readonly memoryEveryMs?: number
}

/** Makes options of a worker's loop that JSON can't hold, once per life. */
export type MakeSettings = (spec: WorkerSpec) => LoopSettings | Promise<LoopSettings>

type LoopSettings = Partial<Omit<ConsumerSettings, 'group'>>

/** Makes the handler of a worker, once per life. What it throws is a failed attempt. */
export type MakeHandler = (spec: WorkerSpec) => Handler | Promise<Handler>

/** The environment variable that holds a worker's spec. */
export const WORKER_VARIABLE = 'STREAMSWITCH_WORKER'
