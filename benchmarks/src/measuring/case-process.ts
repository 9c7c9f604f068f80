import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Measured } from './case.js'

export interface Request {
  readonly messages: number
}

export type Reply = Measured | { readonly problem: string } | { readonly ready: true }

/** Longest time that one round may take, in milliseconds. */
const ROUND_MS = 60_000

/** A process that runs one case, over all its rounds. */
export class CaseProcess {
  readonly #child: ChildProcess
  readonly #ready: Promise<Reply>

  constructor(suite: string, comparison: number, index: number) {
    const main = fileURLToPath(new URL('./case-main.js', import.meta.url))
    this.#child = fork(main, [suite, String(comparison), String(index)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#ready = this.#reply()
  }

  /** Runs the case once. Rejects with what it rejects with, and when it takes too long or its process ends. */
  async run(messages: number): Promise<Measured> {
    await this.#ready
    const reply = this.#reply()
    this.#child.send({ messages } satisfies Request)
    const answer = await reply
    if ('problem' in answer) throw new Error(answer.problem)
    if ('ready' in answer) throw new Error('the process of the case was not asked yet')
    return answer
  }

  end(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  #reply(): Promise<Reply> {
    const child = this.#child
    const reply = new Promise<Reply>((resolve, reject) => {
      const late = setTimeout(() => {
        child.kill('SIGKILL')
        reject(new Error(`no result within ${ROUND_MS / 1_000} s`))
      }, ROUND_MS)
      const ended = (code: number | null, signal: string | null): void => {
        clearTimeout(late)
        reject(new Error(`the process of the case ended with ${signal ?? code}`))
      }
      child.once('exit', ended)
      child.once('message', (message: Reply) => {
        clearTimeout(late)
        child.off('exit', ended)
        resolve(message)
      })
    })
    // Whoever asked may not be waiting yet.
    reply.catch(() => {})
    return reply
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
