import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a worker says, one line at a time. */
export interface Line {
  readonly key?: string
  readonly number?: number
  readonly attempt?: number
  /** When, by the clock that all processes of a machine share, in microseconds. */
  readonly at?: number
  readonly deadLetter?: string
  /** A handler that never ends. */
  readonly started?: number
}

export interface Worker {
  /** Everything it has said so far, the last word of a killed one included. */
  lines(): Line[]
  /** Resolves with the signal that ended it. */
  readonly ended: Promise<string | null>
  kill(): void
}

/** Starts `member-worker.mjs`. It ends with the test's process. */
export function startWorker(url: string, topic: string, group: string, behaviour: 'normal' | 'die' | 'hang'): Worker {
  const path = fileURLToPath(new URL('member-worker.mjs', import.meta.url))
  const folder = mkdtempSync(join(tmpdir(), 'streamswitch-worker-'))
  const file = join(folder, 'lines')
  writeFileSync(file, '')
  const child = spawn(process.execPath, [path, url, topic, group, file, behaviour], { stdio: 'inherit' })
  const stop = (): void => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.once('exit', stop)
  return {
    lines: () =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.endsWith('}'))
        .map((line) => JSON.parse(line) as Line),
    ended: once(child, 'exit').then(([, signal]) => signal as string | null),
    kill: () => void child.kill('SIGKILL'),
  }
}
