import type { SimulatedProcess } from '@streamswitch/testkit/simulation'
import type { SubscribeSettings, SubscriptionEvents } from '../../src/client-patches/stream-client.js'
import { type ScriptedBroker, ScriptedConnection } from './scripted-broker.js'

interface Handle {
  readonly connection: ScriptedConnection
  readonly subscriptionId: number
}

/** Stands for `StreamClient`: what members call, on one connection, or on a second one for all subscriptions as in a cluster. */
export class ScriptedClient {
  readonly locator: ScriptedConnection
  readonly #subscribing: ScriptedConnection
  #subscriptionId = 0

  constructor(broker: ScriptedBroker, process: SimulatedProcess, connections: 1 | 2, closed: (error: Error) => void) {
    this.locator = new ScriptedConnection(broker, process, closed)
    this.#subscribing = connections === 1 ? this.locator : new ScriptedConnection(broker, process, closed)
  }

  /** Resolves when the broker has taken the connection, which takes some frames. */
  static async connect(
    broker: ScriptedBroker,
    process: SimulatedProcess,
    connections: 1 | 2,
    closed: (error: Error) => void,
  ): Promise<ScriptedClient> {
    await new Promise<void>((resolve) => setTimeout(resolve, 5 * broker.world.latency(process)))
    if (broker.down) throw broker.gone('the broker is down')
    return new ScriptedClient(broker, process, connections, closed)
  }

  get connections(): ScriptedConnection[] {
    return [...new Set([this.locator, this.#subscribing])]
  }

  async subscribe(settings: SubscribeSettings, events: SubscriptionEvents): Promise<Handle> {
    this.#subscriptionId += 1
    const handle = { connection: this.#subscribing, subscriptionId: this.#subscriptionId }
    await handle.connection.subscribe(handle.subscriptionId, settings, events)
    return handle
  }

  async unsubscribe({ connection, subscriptionId }: Handle): Promise<void> {
    await connection.unsubscribe(subscriptionId)
  }

  credit({ connection, subscriptionId }: Handle, chunks: number): void {
    connection.credit(subscriptionId, chunks)
  }

  answerUpdate(connection: ScriptedConnection, correlationId: number): void {
    connection.answerUpdate(correlationId)
  }

  async close(): Promise<void> {
    await Promise.all(this.connections.map((connection) => connection.close()))
  }
}
