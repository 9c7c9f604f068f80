import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Bench } from './bench.js'
import type { Suite } from './suite.js'

const WORKER = fileURLToPath(new URL('./runner-worker.js', import.meta.url))

/** A service in a process of its own, which runs one loop of the test's group until it gets a signal. */
export class RunnerProcess implements AsyncDisposable {
  /** What it has said so far. */
  readonly lines: string[] = []
  /** Its exit code; the signal's name where one has ended it. */
  readonly ended: Promise<number | string>
  readonly #child: ChildProcess
  readonly #bench: Bench

  private constructor(child: ChildProcess, bench: Bench) {
    this.#child = child
    this.#bench = bench
    // What it said last may come after its end is known.
    const silent = once(child, 'disconnect')
    this.ended = once(child, 'exit').then(async ([code, signal]) => {
      await silent
      return (code ?? signal) as number | string
    })
    child.on('message', (line: string) => {
      this.lines.push(line)
      bench.watch.changed()
    })
    void this.ended.then(() => bench.watch.changed())
  }

  static start(suite: Suite, bench: Bench, url: string): RunnerProcess {
    const { topic, group, partitions, transportOptions } = bench
    const task = { url, topic, group, partitions, options: transportOptions, transport: suite.settings.adapter.name }
    const child = fork(WORKER, [JSON.stringify(task)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    return new RunnerProcess(child, bench)
  }

  /** Waits until it has said a line. Rejects when it ends before. */
  async said(line: string): Promise<void> {
    await this.#bench.until(() => {
      if (this.lines.includes(line)) return true
      if (this.#child.exitCode === null && this.#child.signalCode === null) return false
      throw new Error(`the process ended before it said '${line}'; it said: ${this.lines.join(', ')}`)
    }, `the process to say '${line}'`)
  }

  tell(line: string): void {
    this.#child.send(line)
  }

  terminate(): void {
    this.#child.kill('SIGTERM')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL')
    await this.ended
  }
}
