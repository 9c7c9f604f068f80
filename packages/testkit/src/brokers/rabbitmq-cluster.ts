import { setTimeout as delay } from 'node:timers/promises'
import { launchCompanion } from './companion.js'
import { openDataFolder, removeDataFolder } from './data-folder.js'
import { portOf } from './definition.js'
import { BrokerError, messageOf } from './errors.js'
import type { BrokerHandle } from './handle.js'
import { ensureInstalled } from './install.js'
import type { LocalBroker } from './local-broker.js'
import { findFreePort } from './ports.js'
import { terminateAndWait } from './process.js'
import { epmd, rabbitmqNode } from './rabbitmq.js'
import { makeCookie } from './rabbitmq-cookie.js'
import { rabbitmqRecipe } from './rabbitmq-install.js'
import { callManagement } from './rabbitmq-probe.js'
import { warmUpStreams } from './rabbitmq-warm-up.js'
import { createDefined, requireLinux, type StartBrokerOptions } from './start.js'

const START_TIMEOUT_MS = 90_000
const POLL_MS = 100

/** RabbitMQ nodes of one cluster, each of which can be killed, frozen and started again by itself. */
export interface RabbitmqCluster extends AsyncDisposable {
  readonly nodes: readonly BrokerHandle[]
  /** `amqp` and `rabbitmq-stream`: URLs with every node as a seed, the first node first. */
  readonly urls: Readonly<Record<'amqp' | 'rabbitmq-stream', string>>
  /**
   * The node that leads a stream or a quorum queue of the virtual host `/`, as a running node says. Right after a leader's death
   * that may still be the dead one. Rejects with NOT_FOUND where there is no such queue or it has no leader.
   */
  leaderOf(queue: string): Promise<BrokerHandle>
  /** Kills every node and removes its data. */
  remove(): Promise<void>
}

/**
 * Starts a cluster of RabbitMQ nodes on 127.0.0.1, in about 12 seconds for three, and resolves when every node has joined and
 * streams are safe to be made. Streams and quorum queues are replicated to all nodes by default.
 * Rejects as `startBroker` does; then nothing is left running.
 */
export async function startRabbitmqCluster(
  size = 3,
  { version, config = [], log = () => undefined }: Pick<StartBrokerOptions, 'version' | 'config' | 'log'> = {},
): Promise<RabbitmqCluster> {
  requireLinux()
  const installation = await ensureInstalled(rabbitmqRecipe(version), log)
  const folder = await openDataFolder('rabbitmq', undefined, true)
  const sharedEpmdPort = await findFreePort()
  const mapper = await launchCompanion(epmd(installation, sharedEpmdPort), folder.path, 'process')
  const cookie = makeCookie()
  const names = Array.from({ length: size }, (_, index) => `streamswitch${index + 1}@localhost`)
  const discovery = [
    'cluster_formation.peer_discovery_backend = classic_config',
    ...names.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`),
  ]
  const nodes: LocalBroker[] = []
  const remove = async (): Promise<void> => {
    // Stopped in good order, each node would hand its leaders to others that are about to stop as well.
    await Promise.all(nodes.map((node) => node.kill()))
    await Promise.all(nodes.map((node) => node.remove()))
    await terminateAndWait(mapper, 2_000)
    await removeDataFolder(folder.path, 'rabbitmq')
  }
  try {
    for (const name of names)
      nodes.push(
        await createDefined(rabbitmqNode({ name, sharedEpmdPort, cookie }), {
          ...(version === undefined ? {} : { version }),
          config: [...discovery, ...config],
        }),
      )
    await Promise.all(nodes.map((node) => node.start()))
    const deadline = performance.now() + START_TIMEOUT_MS
    for (const node of nodes) await awaitMembers(portOf(node.ports, 'management'), size, deadline)
    await warmUpStreams(nodes[0] as LocalBroker, deadline)
  } catch (error) {
    await remove()
    throw error
  }
  return {
    nodes,
    urls: { amqp: seeds('amqp', nodes), 'rabbitmq-stream': seeds('rabbitmq-stream', nodes, 'stream') },
    leaderOf: async (queue) => {
      const name = await leaderName(queue, nodes)
      const leader = name === undefined ? undefined : nodes[names.indexOf(name)]
      if (leader === undefined) throw new BrokerError('NOT_FOUND', `no node leads queue ${queue}`)
      return leader
    },
    remove,
    [Symbol.asyncDispose]: remove,
  }
}

function seeds(scheme: string, nodes: readonly LocalBroker[], port = scheme): string {
  return `${scheme}://guest:guest@${nodes.map(({ ports }) => `127.0.0.1:${portOf(ports, port)}`).join(',')}`
}

async function leaderName(queue: string, nodes: readonly LocalBroker[]): Promise<string | undefined> {
  const asked = nodes.find(({ running }) => running)
  if (asked === undefined) throw new BrokerError('UNAVAILABLE', 'no node of the cluster runs')
  const path = `queues/%2F/${encodeURIComponent(queue)}`
  const { body } = await callManagement(portOf(asked.ports, 'management'), 'GET', path, undefined, 5_000)
  return (body as { readonly leader?: string } | undefined)?.leader
}

/** Waits until a node sees all of them running. */
async function awaitMembers(port: number, size: number, deadline: number): Promise<void> {
  for (;;) {
    const seen = await callManagement(port, 'GET', 'nodes', undefined, 5_000).then(
      ({ body }) => (body as readonly { readonly running: boolean }[]).filter(({ running }) => running).length,
      messageOf,
    )
    if (seen === size) return
    if (performance.now() > deadline)
      throw new BrokerError('TIMEOUT', `a node sees ${seen} of ${size} nodes of its cluster`)
    await delay(POLL_MS)
  }
}
