import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { onTestFinished } from 'vitest'
import { brokerAddress } from './broker.js'

const SCRIPT = fileURLToPath(new URL('./foreign-member.py', import.meta.url))

/** A consumer of another project, in a process of its own. */
export interface ForeignMember {
  /** Of the newest assignment; `undefined` before the first. */
  readonly partitions: readonly number[] | undefined
  /** Values, in order. */
  readonly handled: readonly string[]
  /** What its client complained about. */
  readonly refusals: readonly string[]
  /** Leaves the group in good order. Resolves when it has. */
  leave(): Promise<void>
}

export type ForeignStrategy = 'default' | 'range' | 'roundrobin' | 'cooperative-sticky' | 'consumer'

/** Starts a member. Resolves at once: it joins in its own time. It ends with the test. */
export async function foreignMember(
  client: 'aiokafka' | 'confluent-kafka',
  topic: string,
  group: string,
  strategy: ForeignStrategy,
): Promise<ForeignMember> {
  const python = await brokerTool('python-clients')
  const child = spawn(python, [SCRIPT, client, brokerAddress, topic, group, strategy], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  let partitions: readonly number[] | undefined
  const handled: string[] = []
  const refusals: string[] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    const said = JSON.parse(line) as { assigned?: number[]; handled?: string; refused?: string }
    if (said.assigned !== undefined) partitions = said.assigned
    if (said.handled !== undefined) handled.push(said.handled)
    if (said.refused !== undefined) refusals.push(said.refused)
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return {
    get partitions() {
      return partitions
    },
    handled,
    refusals,
    leave: async () => {
      child.stdin.end()
      await exited
    },
  }
}
