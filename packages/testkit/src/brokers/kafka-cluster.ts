import { portOf } from './definition.js'
import type { BrokerHandle } from './handle.js'
import { type KafkaNode, kafkaNode, newClusterId } from './kafka.js'
import type { LocalBroker } from './local-broker.js'
import { findFreePort } from './ports.js'
import { createDefined, requireLinux, type StartBrokerOptions } from './start.js'

/** Kafka nodes of one cluster, each broker and controller, which can be killed, frozen and started again one by one. */
export interface KafkaCluster extends AsyncDisposable {
  /** The node with id 1 first. */
  readonly nodes: readonly BrokerHandle[]
  /** `kafka://`, with every node as a bootstrap server. */
  readonly url: string
  /** Kills every node and removes its data. */
  remove(): Promise<void>
}

/**
 * Starts a cluster of Kafka nodes on 127.0.0.1, in about half a minute for three, and resolves when each of them answers. Topics have a replica on
 * every node by default. Rejects as `startBroker` does; then nothing is left running.
 */
export async function startKafkaCluster(
  size = 3,
  { config = [], log = () => undefined }: Pick<StartBrokerOptions, 'config' | 'log'> = {},
): Promise<KafkaCluster> {
  requireLinux()
  const controllers: number[] = []
  while (controllers.length < size) controllers.push(await findFreePort())
  const voters = controllers.map((port, index) => `${index + 1}@127.0.0.1:${port}`).join(',')
  const clusterId = newClusterId()
  const nodes: LocalBroker[] = []
  const remove = async (): Promise<void> => {
    // Stopped in good order, each would hand its leaders to others that are about to stop as well.
    await Promise.all(nodes.map((node) => node.kill()))
    await Promise.all(nodes.map((node) => node.remove()))
  }
  try {
    for (const [index, controller] of controllers.entries()) {
      const node: KafkaNode = { id: index + 1, size, voters, clusterId }
      nodes.push(await createDefined(kafkaNode(node), { ports: { controller }, config, log }))
    }
    await Promise.all(nodes.map((node) => node.start()))
  } catch (error) {
    await remove()
    throw error
  }
  const url = `kafka://${nodes.map(({ ports }) => `127.0.0.1:${portOf(ports, 'kafka')}`).join(',')}`
  return { nodes, url, remove, [Symbol.asyncDispose]: remove }
}
