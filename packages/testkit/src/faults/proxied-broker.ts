import {
  type BrokerHandle,
  type BrokerName,
  findFreePort,
  type StartBrokerOptions,
  startBroker,
} from '../brokers/index.js'
import type { FramedProtocol } from './delivery-filter.js'
import { TcpProxy } from './tcp-proxy.js'

interface Place {
  readonly broker: BrokerName
  /** Which of its ports. */
  readonly port: string
  /** Lines of configuration with which it advertises this port to clients instead of its own. */
  advertise(port: number): readonly string[]
  /** If the proxy can distinguish deliveries from everything else. */
  readonly protocol?: FramedProtocol
}

const PLACES = {
  redis: { broker: 'redis', port: 'redis', advertise: () => [] },
  amqp: { broker: 'rabbitmq', port: 'amqp', advertise: () => [], protocol: 'amqp' },
  'rabbitmq-stream': {
    broker: 'rabbitmq',
    port: 'stream',
    advertise: (port) => [`stream.advertised_port = ${port}`],
    protocol: 'rabbitmq-stream',
  },
  kafka: {
    broker: 'kafka',
    port: 'kafka',
    advertise: (port) => [`advertised.listeners=PLAINTEXT://127.0.0.1:${port}`],
    protocol: 'kafka',
  },
} as const satisfies Readonly<Record<string, Place>>

/** URL schemes whose brokers can be started behind a proxy. */
export type ProxiedScheme = keyof typeof PLACES

/** A separate broker, and a proxy that its clients can't bypass. */
export interface ProxiedBroker extends AsyncDisposable {
  readonly broker: BrokerHandle
  readonly proxy: TcpProxy
  /** The address through the proxy. */
  readonly url: string
}

/**
 * Starts a broker, to be killed and frozen, and a proxy in front of it, to cut and delay. A broker that advertises its
 * own address to clients (Kafka, RabbitMQ Streams) advertises the proxy's. Errors: as those of `startBroker`.
 *
 * @param options - as of `startBroker`.
 */
export async function startProxiedBroker(
  scheme: ProxiedScheme,
  options: StartBrokerOptions = {},
): Promise<ProxiedBroker> {
  const place: Place = PLACES[scheme]
  const port = options.ports?.[place.port] ?? (await findFreePort())
  const { protocol } = place
  const proxy = await TcpProxy.start({ port, ...(protocol === undefined ? {} : { protocol }) })
  try {
    const broker = await startBroker(place.broker, {
      ...options,
      ports: { ...options.ports, [place.port]: port },
      config: [...place.advertise(proxy.port), ...(options.config ?? [])],
    })
    const url = new URL(broker.urls[scheme] ?? broker.url)
    url.port = String(proxy.port)
    return {
      broker,
      proxy,
      url: url.href,
      async [Symbol.asyncDispose]() {
        await broker.remove()
        await proxy.close()
      },
    }
  } catch (error) {
    await proxy.close()
    throw error
  }
}
