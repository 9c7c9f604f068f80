import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { CompanionCommand } from './definition.js'
import { BrokerError } from './errors.js'
import { type Lifetime, lastLines, launch } from './launch.js'
import { checkAccepts } from './probe.js'
import { isRunning, killAndWait, type ProcessIdentity } from './process.js'

const START_TIMEOUT_MS = 30_000

/** Starts a companion and resolves when its port accepts. Rejects with UNAVAILABLE and the end of its log; then it is gone. */
export async function launchCompanion(
  { command, port }: CompanionCommand,
  dataDir: string,
  lifetime: Lifetime,
): Promise<ProcessIdentity> {
  const logFile = join(dataDir, 'companion.log')
  const companion = await launch(command, dataDir, logFile, lifetime)
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!(await accepts(port))) {
    if (!isRunning(companion) || performance.now() > deadline) {
      await killAndWait(companion)
      throw new BrokerError('UNAVAILABLE', `${command.file} does not listen on port ${port}:\n${lastLines(logFile)}`)
    }
    await delay(20)
  }
  return companion
}

async function accepts(port: number): Promise<boolean> {
  return checkAccepts(port, 'companion', 1000).then(
    () => true,
    () => false,
  )
}
