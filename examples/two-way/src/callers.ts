import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const ENTRY = fileURLToPath(new URL('./run-caller.js', import.meta.url))

/** What a caller's process is told by its environment. */
export const CALLER_NAME = 'TWO_WAY_CALLER'

/** Runs a shop in each of `count` processes. Resolves with what they found wrong. */
export async function runCallers(count: number, environment: NodeJS.ProcessEnv): Promise<string[]> {
  const found = await Promise.all(
    Array.from({ length: count }, (_, number) => runCaller(`shop${number + 1}`, environment)),
  )
  return found.flat()
}

async function runCaller(name: string, environment: NodeJS.ProcessEnv): Promise<string[]> {
  const child = fork(ENTRY, {
    env: { ...environment, [CALLER_NAME]: name },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let problems: string[] | undefined
  child.on('message', (message) => {
    problems = message as string[]
  })
  const [code] = await once(child, 'exit')
  return problems ?? [`${name}: its process ended with code ${String(code)} and told nothing`]
}
