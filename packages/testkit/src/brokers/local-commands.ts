import { join } from 'node:path'
import { type CliOptions, portOptionName } from './cli-options.js'
import type { BrokerDefinition, BrokerName } from './definition.js'
import { BrokerError } from './errors.js'
import type { InstallLog } from './install.js'
import { installationName } from './install-debian.js'
import { LocalBroker } from './local-broker.js'
import { describePortHolder, isPortFree } from './ports.js'
import { brokerDefinition, createBroker } from './start.js'
import { type BrokerRecord, type BrokerState, isRecordRunning } from './state.js'
import { matchesVersion } from './versions.js'

/** The broker of a record, as it was started by an earlier command. */
export function attachBroker(state: BrokerState, record: BrokerRecord): LocalBroker {
  return new LocalBroker({
    definition: brokerDefinition(record.name),
    instance: record,
    temporary: record.temporary,
    lifetime: 'detached',
    processes: record.processes,
    onProcesses: (processes) => state.write({ ...record, processes }),
  })
}

/** Starts one broker, or finds it running; resolves with a line on what is there now. */
export async function bringUp(
  name: BrokerName,
  state: BrokerState,
  options: CliOptions,
  log: InstallLog,
): Promise<string> {
  const record = state.read(name)
  if (record !== undefined && isRecordRunning(record)) {
    requireSameVersion(record, options)
    const broker = attachBroker(state, record)
    await broker.ready()
    return `already running: ${describe(broker)}`
  }
  if (record !== undefined && !asksForOther(options, record)) {
    const broker = attachBroker(state, record)
    return started(broker, 'started again on its data')
  }
  if (record !== undefined) await attachBroker(state, record).remove()
  state.remove(name)
  return startNew(name, state, options, log)
}

/** Throws CONFLICT when another version runs than the one that is asked for. */
function requireSameVersion(record: BrokerRecord, options: CliOptions): void {
  const { name, installation } = record
  const wanted = options.versions.get(name)
  if (isVersion(record, wanted)) return
  throw new BrokerError(
    'CONFLICT',
    `${name} ${installation.version} runs already, and ${name}@${wanted} was asked for: end it with "down ${name}", or use --instance`,
  )
}

/** Whether a broker is what `wanted` asks for, by version or by suite. Undefined: whatever is there. */
function isVersion({ name, installation }: BrokerRecord, wanted: string | undefined): boolean {
  if (wanted === undefined || matchesVersion(installation.version, wanted)) return true
  return installation.name === installationName(name, wanted)
}

/** A stopped broker's record is used as it is, unless the command line says something that differs from it. */
function asksForOther(options: CliOptions, record: BrokerRecord): boolean {
  const definition = brokerDefinition(record.name)
  const otherPort = Object.keys(definition.clientPorts).some((purpose) => {
    const port = options.ports.get(portOptionName(definition, purpose))
    return port !== undefined && port !== 0 && port !== record.ports[purpose]
  })
  const otherData = options.dataDir !== undefined && join(options.dataDir, record.name) !== record.dataDir
  const otherVersion = !isVersion(record, options.versions.get(record.name))
  return options.fresh || otherPort || otherData || otherVersion || options.config.length > 0
}

async function startNew(name: BrokerName, state: BrokerState, options: CliOptions, log: InstallLog): Promise<string> {
  const definition = brokerDefinition(name)
  const ports = wantedPorts(definition, options)
  const foreign = await findForeignServer(definition, ports, options.allowForeign)
  if (foreign !== undefined) return foreign
  const { dataDir } = options
  const version = options.versions.get(name)
  const broker = await createBroker(
    name,
    {
      ports,
      ...(version === undefined ? {} : { version }),
      ...(dataDir === undefined ? {} : { dataDir: join(dataDir, name) }),
      fresh: options.fresh,
      config: options.config,
      lifetime: 'detached',
      log,
    },
    // Written as soon as there is a process: should this command be interrupted, `down` still finds it.
    (created, processes) => state.write(created.toRecord(processes)),
  )
  try {
    return await started(broker, 'started')
  } catch (error) {
    await broker.remove()
    state.remove(name)
    throw error
  }
}

async function started(broker: LocalBroker, word: string): Promise<string> {
  const begin = performance.now()
  await broker.start()
  return `${word} in ${((performance.now() - begin) / 1000).toFixed(1)} s: ${describe(broker)}`
}

function describe(broker: LocalBroker): string {
  return `${broker.name} ${broker.version}, process ${broker.pid ?? 'none'}, ${Object.values(broker.urls).join(' ')}`
}

/** The ports that were asked for, else the defaults, else (beside the default instance, or for 0) free ones. */
function wantedPorts(definition: BrokerDefinition, options: CliOptions): Record<string, number> {
  const ports: Record<string, number> = {}
  for (const [purpose, usual] of Object.entries(definition.clientPorts)) {
    const fallback = options.instance === 'default' ? usual : 0
    const port = options.ports.get(portOptionName(definition, purpose)) ?? fallback
    if (port !== 0) ports[purpose] = port
  }
  return ports
}

/**
 * Undefined when all ports are free. Otherwise a server that isn't ours is in the way: with `allow` and if it answers
 * on every port as this broker would, resolves with a line that says so; else rejects with CONFLICT. It is never touched.
 */
async function findForeignServer(
  definition: BrokerDefinition,
  ports: Record<string, number>,
  allow: boolean,
): Promise<string | undefined> {
  const taken: number[] = []
  for (const port of Object.values(ports)) if (!(await isPortFree(port))) taken.push(port)
  if (taken.length === 0) return undefined
  const holders = taken.map(describePortHolder).join('; ')
  const complete = Object.keys(definition.clientPorts).every((purpose) => ports[purpose] !== undefined)
  const compatible =
    complete &&
    (await definition.check(ports, 2000).then(
      () => true,
      () => false,
    ))
  if (compatible && allow)
    return `a ${definition.name} that was not started here answers and is used as it is (${holders})`
  const kind = compatible
    ? `a ${definition.name} that was not started here; --allow-foreign uses it as it is`
    : 'and does not answer as this broker would'
  throw new BrokerError(
    'CONFLICT',
    `${definition.name} can't start: ${holders}, ${kind}. It was left alone; choose another port or stop it.`,
  )
}

/** Ends what `bringUp` started and forgets it; resolves with a line on what was done. */
export async function takeDown(name: BrokerName, state: BrokerState): Promise<string> {
  const record = state.read(name)
  if (record === undefined) return `${name}: not started here`
  const wasRunning = isRecordRunning(record)
  await attachBroker(state, record).remove()
  state.remove(name)
  return `${name}: ${wasRunning ? 'stopped' : 'was not running'}${record.temporary ? ', its temporary data removed' : `, data kept in ${record.dataDir}`}`
}

/** SIGKILL to the broker; its data and record stay, so that `bringUp` starts it again. */
export async function killBroker(name: BrokerName, state: BrokerState): Promise<string> {
  const record = requireRecord(name, state)
  if (!isRecordRunning(record)) return `${name}: was not running`
  await attachBroker(state, record).kill()
  return `${name}: killed; its data is kept, "up" starts it again`
}

/** Stops a broker in the regular way and starts it on the same data and ports. */
export async function restartBroker(name: BrokerName, state: BrokerState): Promise<string> {
  const broker = attachBroker(state, requireRecord(name, state))
  await broker.stop()
  return started(broker, 'restarted')
}

function requireRecord(name: BrokerName, state: BrokerState): BrokerRecord {
  const record = state.read(name)
  if (record === undefined)
    throw new BrokerError('NOT_FOUND', `${name} was not started here; start it with: brokers up ${name}`)
  return record
}
