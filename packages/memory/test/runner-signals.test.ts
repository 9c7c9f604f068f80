import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'

const WORKER = join(import.meta.dirname, 'support', 'signalled-worker.mjs')

/** A service in a child process, and what it has said. */
class Worker {
  readonly child: ChildProcess
  readonly lines: string[] = []
  readonly exited: Promise<unknown[]>

  constructor(env: Record<string, string>) {
    this.child = fork(WORKER, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.child.on('message', (line: string) => this.lines.push(line))
    this.exited = once(this.child, 'exit')
  }

  async said(line: string): Promise<void> {
    while (!this.lines.includes(line)) await Promise.race([once(this.child, 'message'), this.#gone(line)])
  }

  async #gone(line: string): Promise<never> {
    await this.exited
    throw new Error(`the worker ended before it said '${line}': ${this.lines.join(', ')}`)
  }
}

describe('a runner in a process that gets signals', () => {
  let worker: Worker | undefined
  const start = (env: Record<string, string>): Worker => {
    worker = new Worker(env)
    return worker
  }

  afterEach(() => {
    worker?.child.kill('SIGKILL')
  })

  it.each(['SIGTERM', 'SIGINT'] as const)('%s while a handler runs: it ends, and may still send', async (signal) => {
    const { child, lines, exited } = start({ HANDLER: 'finishes when told' })
    await worker?.said('handling')
    child.kill(signal)
    await worker?.said('stopping')
    child.send('finish')
    expect(await exited).toEqual([0, null])
    expect(lines).toEqual(['handling', 'stopping', 'handled', 'flushed', 'stopped', 'resolved'])
  })

  it('a handler that outlasts the deadline: the exit is bounded, and not clean', async () => {
    const { child, lines, exited } = start({ HANDLER: 'never ends', TIMEOUT_MS: '300' })
    await worker?.said('handling')
    child.kill('SIGTERM')
    expect(await exited).toEqual([1, null])
    expect(lines).toContain('failed')
    expect(lines.at(-1)).toMatch(/^rejected TIMEOUT: .*handlers of 'orders' were still running after 300 ms/)
  })

  it('a second signal ends the wait', async () => {
    const { child, lines, exited } = start({ HANDLER: 'never ends', TIMEOUT_MS: '600000' })
    await worker?.said('handling')
    child.kill('SIGTERM')
    await worker?.said('stopping')
    child.kill('SIGTERM')
    expect(await exited).toEqual([1, null])
    expect(lines.at(-1)).toMatch(/^rejected ABORTED: .*a second SIGTERM arrived/)
  })

  it("errorPolicy 'stop-application': every part of the process is told, and what goes on is ended with code 1", async () => {
    const { lines, exited } = start({ HANDLER: 'fails', POLICY: 'stop-application', ALIVE: '1', TIMEOUT_MS: '200' })
    expect(await exited).toEqual([1, null])
    expect(lines).toContain('another part of the application was told')
    expect(lines).toContain('rejected UNKNOWN: broken for good')
    expect(lines.filter((line) => line === 'stopping')).toHaveLength(1)
  })
})
