import { parseHostText, type TransportDriver } from '@streamswitch/core/driver'
import type { Connector } from './connection.js'
import { PORT } from './seeds.js'

/** The connectors of open Redis transports: how a dedupe store finds the server of its transport. */
const CONNECTORS = new WeakMap<TransportDriver, Connector>()

export function registerTransport(driver: TransportDriver, connector: Connector): TransportDriver {
  CONNECTORS.set(driver, connector)
  return driver
}

/** Returns `undefined` for anything but the driver of a Redis transport. */
export function connectorOf(driver: TransportDriver | undefined): Connector | undefined {
  return driver === undefined ? undefined : CONNECTORS.get(driver)
}

/** True when both use the same database of the same server, as far as their addresses tell. */
export function sameServer(one: Connector, other: Connector): boolean {
  return one === other || place(one) === place(other)
}

/** Cached, since it is needed for every message. */
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
