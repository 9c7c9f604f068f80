import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { within } from './collect.js'
import type { Suite } from './suite.js'

const WORKER = fileURLToPath(new URL('./descriptors-worker.js', import.meta.url))

/** Files and sockets that the process may open; loading its modules takes more than a hundred at a time. */
const DESCRIPTORS = 512

/** What the process is to do. */
export interface DescriptorTask {
  readonly url: string
  readonly topic: string
  readonly options: Readonly<Record<string, unknown>>
  readonly connectTimeoutMs: number
}

/** A process that may open no more sockets. */
export function descriptors(suite: Suite): void {
  if (suite.settings.adapter.reconnects !== 'core') return
  suite.test(
    'a process without free descriptors: RESOURCE_EXHAUSTED, and it connects once there are some',
    {},
    async (bench) => {
      const task: DescriptorTask = {
        url: bench.url,
        topic: bench.topic,
        options: bench.transportOptions,
        connectTimeoutMs: 1_000,
      }
      const command = `ulimit -n ${DESCRIPTORS} && exec "$0" "$@"`
      const child = spawn('bash', ['-c', command, process.execPath, WORKER, JSON.stringify(task)], {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      const answer = once(child, 'message')
      const ended = once(child, 'exit')
      // Deletes the topic when the test is over.
      bench.producer()
      const [codes] = await within(
        Promise.race([answer, ended.then(() => ['the process ended without an answer'])]),
        'the answer',
        25_000,
      )
      expect(codes).toEqual(Array(2).fill('RESOURCE_EXHAUSTED, retryable: true'))
      expect((await within(ended, 'the end of the process'))[0]).toBe(0)
    },
  )
}
