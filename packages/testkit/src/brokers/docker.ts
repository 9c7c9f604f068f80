import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { BrokerName } from './definition.js'
import { BrokerError } from './errors.js'
import { runProgram } from './process.js'

const HINT = 'Install Docker with its Compose plugin, or use --local.'

/** Whether a Docker engine answers and Compose can talk to it; a client alone is not enough. */
export async function isDockerUsable(): Promise<boolean> {
  try {
    await runProgram('docker', ['info'], HINT, { timeoutMs: 10_000 })
    await runProgram('docker', ['compose', 'version'], HINT, { timeoutMs: 10_000 })
    return true
  } catch {
    return false
  }
}

/** The project's docker-compose.yml in `start` or a folder above it, or undefined; files of other projects don't count. */
export function findComposeFile(start: string): string | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    const file = join(folder, 'docker-compose.yml')
    if (existsSync(file) && /^name: streamswitch$/m.test(readFileSync(file, 'utf8'))) return file
    if (dirname(folder) === folder) return undefined
  }
}

/** Runs Docker Compose on a file and resolves with its output; rejects as `runProgram` does. */
async function compose(file: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const { stdout, stderr } = await runProgram('docker', ['compose', '--file', file, ...args], HINT, { env })
  return `${stdout}${stderr}`.trim()
}

/** Does for containers what the commands do for local processes; resolves with lines to print. */
export async function runInDocker(
  command: string,
  names: readonly BrokerName[],
  ports: ReadonlyMap<string, number>,
  file: string | undefined,
): Promise<string> {
  if (file === undefined)
    throw new BrokerError('NOT_FOUND', 'there is no docker-compose.yml of this project here; use --local')
  // The file reads the ports from the same variables that the command line knows.
  const variables = [...ports].map(([name, port]) => [
    `STREAMSWITCH_${name.toUpperCase().replaceAll('-', '_')}_PORT`,
    String(port),
  ])
  const env = { ...process.env, ...Object.fromEntries(variables) }
  switch (command) {
    case 'up':
      return compose(file, ['up', '--detach', '--wait', ...names], env)
    case 'down':
      return compose(file, ['rm', '--stop', '--force', '--volumes', ...names], env)
    case 'restart':
      return compose(file, ['restart', ...names], env)
    case 'kill':
      return compose(file, ['kill', '--signal', 'SIGKILL', ...names], env)
    default:
      return compose(file, ['ps', '--all', ...names], env)
  }
}
