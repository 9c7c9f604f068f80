import { parseHostText, type TransportDriver } from '@streamswitch/core/driver'
import type { Connector } from './connection.js'
import { PORT } from './seeds.js'

/** What open Redis transports connect by: how a dedupe store finds the server of the transport that it is given. */
const CONNECTORS = new WeakMap<TransportDriver, Connector>()

export function registerTransport(driver: TransportDriver, connector: Connector): TransportDriver {
  CONNECTORS.set(driver, connector)
  return driver
}

/** `undefined` for anything but the driver of a Redis transport. */
export function connectorOf(driver: TransportDriver | undefined): Connector | undefined {
  return driver === undefined ? undefined : CONNECTORS.get(driver)
}

/** True where both mean the same database of the same server, as far as their addresses tell. */
export function sameServer(one: Connector, other: Connector): boolean {
  return one === other || place(one) === place(other)
}

/** Asked for with every message. */
const PLACES = new WeakMap<Connector, string>()

function place(connector: Connector): string {
  const known = PLACES.get(connector)
  if (known !== undefined) return known
  const { hosts, database } = connector.settings
  const made = `${hosts.map(address).sort().join(',')}/${database}`
  PLACES.set(connector, made)
  return made
}

function address(seed: string): string {
  const { host, port } = parseHostText(seed, PORT)
  return `${host} ${port}`
}
