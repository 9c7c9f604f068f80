import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import type { ServiceName } from './services.js'

/** Which topic each receiving service reads, and as which group: what a deployment's routing has to know. */
const SUBSCRIPTIONS: Readonly<
  Record<Exclude<ServiceName, 'departures'>, { readonly topic: string; readonly group: string }>
> = {
  alerts: { topic: 'alerts', group: 'board' },
  audit: { topic: 'departures', group: 'audit' },
  delays: { topic: 'departures', group: 'delays' },
}

/**
 * The environment of each process, by member. This is the deployment's side of the demo and the only place that looks at which
 * transport it is: with a broker, its address is all that is needed; with HTTP, each receiver needs an address of its own and
 * each sender the list of receivers.
 */
export async function deploymentFor(
  transport: string,
  url: string | undefined,
  members: ReadonlyMap<string, ServiceName>,
): Promise<ReadonlyMap<string, NodeJS.ProcessEnv>> {
  const common: NodeJS.ProcessEnv = url === undefined ? {} : { STREAMSWITCH_URL: url }
  if (transport !== 'http') return new Map([...members.keys()].map((member) => [member, common]))
  const receivers = [...members].filter(([, service]) => service !== 'departures')
  const ports = await freePorts(receivers.length)
  const addresses = new Map(receivers.map(([member], index) => [member, `127.0.0.1:${ports[index]}`]))
  const routes = JSON.stringify(routesFor(members, addresses))
  return new Map(
    [...members.keys()].map((member) => [
      member,
      { ...common, HTTP_ROUTES: routes, ...listenOn(addresses.get(member)) },
    ]),
  )
}

function listenOn(address: string | undefined): NodeJS.ProcessEnv {
  return address === undefined ? {} : { HTTP_LISTEN: address }
}

function routesFor(
  members: ReadonlyMap<string, ServiceName>,
  addresses: ReadonlyMap<string, string>,
): Record<string, Record<string, string[]>> {
  const routes: Record<string, Record<string, string[]>> = {}
  for (const [member, address] of addresses) {
    const service = members.get(member)
    if (service === undefined || service === 'departures') continue
    const { topic, group } = SUBSCRIPTIONS[service]
    routes[topic] ??= {}
    routes[topic][group] ??= []
    routes[topic][group].push(`http://${address}`)
  }
  return routes
}

/** Ports of the loopback interface that nobody listens on now. All are held until all are known, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = []
  for (let index = 0; index < count; index += 1) {
    const server = createServer().listen(0, '127.0.0.1')
    servers.push(server)
    await once(server, 'listening')
  }
  const ports = servers.map((server) => (server.address() as { readonly port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
