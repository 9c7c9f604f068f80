import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'

/** How long one input may take before it counts as one that never ends, in milliseconds: also with other work on the machine. */
const PATIENCE_MS = 30_000

/** Runs in a thread, since the one that decodes can't be interrupted. */
const THREAD = `
const { workerData } = require('node:worker_threads')
const { writeFileSync } = require('node:fs')
const { memory, path, patienceMs } = workerData
const [count, length] = [new Int32Array(memory, 0, 1), new Int32Array(memory, 4, 1)]
let seen = -1
let since = Date.now()
setInterval(() => {
  const now = Atomics.load(count, 0)
  if (now !== seen) {
    seen = now
    since = Date.now()
  } else if (now % 2 === 1 && Date.now() - since > patienceMs) {
    writeFileSync(path, new Uint8Array(memory.slice(8, 8 + length[0])))
    process._rawDebug('an input was not decoded within ' + patienceMs + ' ms; it is in ' + path)
    process.kill(process.pid, 'SIGKILL')
  }
}, 200)
`

/** Ends the process when decoding an input doesn't end, and keeps that input in a file. */
export class Watchdog {
  readonly #memory: SharedArrayBuffer
  readonly #count: Int32Array
  readonly #length: Int32Array
  readonly #bytes: Uint8Array
  readonly #thread: Worker

  /** @param path - the file for the input. */
  constructor(path: string, maxBytes: number, patienceMs = PATIENCE_MS) {
    this.#memory = new SharedArrayBuffer(8 + maxBytes)
    this.#count = new Int32Array(this.#memory, 0, 1)
    this.#length = new Int32Array(this.#memory, 4, 1)
    this.#bytes = new Uint8Array(this.#memory, 8)
    mkdirSync(dirname(path), { recursive: true })
    this.#thread = new Worker(THREAD, { eval: true, workerData: { memory: this.#memory, path, patienceMs } })
    this.#thread.unref()
  }

  /** Decoding begins. */
  begin(input: Buffer): void {
    this.#bytes.set(input.subarray(0, this.#bytes.length))
    this.#length[0] = Math.min(input.length, this.#bytes.length)
    Atomics.add(this.#count, 0, 1)
  }

  /** Decoding has ended. */
  end(): void {
    Atomics.add(this.#count, 0, 1)
  }

  async stop(): Promise<void> {
    await this.#thread.terminate()
  }
}
