import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { IdleCase, IdleCost, IdleReply } from './idle-case.js'
import { RedisCalls } from './redis-calls.js'

export interface IdleResult extends IdleCost {
  /** Calls of the process that the broker counted, per second; `undefined` for brokers that don't. */
  readonly callsPerSecond: number | undefined
}

/** Runs a case in a process of its own. Rejects with what went wrong, also when it isn't measured within `limitMs`. */
export async function runIdleCase(settings: IdleCase, limitMs: number): Promise<IdleResult> {
  const child = fork(fileURLToPath(new URL('./idle-main.js', import.meta.url)), [JSON.stringify(settings)])
  const calls = settings.transport === 'redis' ? new RedisCalls(settings.url) : undefined
  let late: NodeJS.Timeout | undefined
  let stage = 'starting'
  try {
    const cost = await new Promise<IdleCost>((resolve, reject) => {
      late = setTimeout(() => reject(new Error(`${stage} after ${limitMs / 1_000} s`)), limitMs)
      child.once('exit', (code, signal) => reject(new Error(`its process ended with ${signal ?? code}`)))
      child.on('message', (message: IdleReply) => {
        if ('stage' in message) stage = message.stage
        else if ('problem' in message) reject(new Error(message.problem))
        else if ('cost' in message) resolve(message.cost)
        else calls?.start()
      })
    })
    const counted = calls?.count
    return {
      ...cost,
      callsPerSecond: counted === undefined ? undefined : (counted / settings.windowMs) * 1_000,
    }
  } finally {
    clearTimeout(late)
    calls?.stop()
    child.kill('SIGKILL')
  }
}
