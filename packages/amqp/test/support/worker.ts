import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** What a worker says, one line at a time. */
export interface Line {
  readonly ready?: boolean
  readonly key?: string
  readonly number?: number
  readonly attempt?: number
  readonly deadLetter?: string
  readonly attempts?: number
}

export interface Worker {
  readonly process: ChildProcess
  readonly lines: Line[]
  /** Resolves with the signal that ended it. */
  readonly ended: Promise<string | null>
  kill(signal?: NodeJS.Signals): void
}

/** Starts `member-worker.mjs`. It ends with the test's process. */
export function startWorker(
  url: string,
  topic: string,
  group: string,
  behaviour: 'normal' | 'die',
  heard: (line: Line) => void = () => {},
): Worker {
  const path = fileURLToPath(new URL('member-worker.mjs', import.meta.url))
  const child = spawn(process.execPath, [path, url, topic, group, behaviour], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: Line[] = []
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Line
    lines.push(line)
    heard(line)
  })
  const stop = (): void => void child.kill('SIGKILL')
  process.once('exit', stop)
  return {
    process: child,
    lines,
    ended: once(child, 'exit').then(([, signal]) => {
      process.removeListener('exit', stop)
      return signal as string | null
    }),
    kill: (signal = 'SIGKILL') => void child.kill(signal),
  }
}
