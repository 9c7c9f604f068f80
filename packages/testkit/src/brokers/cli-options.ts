import { parseArgs } from 'node:util'
import { BROKER_NAMES, type BrokerDefinition, type BrokerName, DEFAULT_BROKERS } from './definition.js'
import { BrokerError } from './errors.js'
import { brokerDefinition } from './start.js'

/** The commands of `pnpm brokers`. */
const COMMANDS = ['up', 'down', 'status', 'restart', 'kill', 'tool', 'versions'] as const
type Command = (typeof COMMANDS)[number]

/** What a command line and the environment ask for. */
export interface CliOptions {
  readonly command: Command
  /** The brokers that the command names, in the usual order; none: the command's usual ones. */
  readonly brokers: readonly BrokerName[]
  /** The versions that are asked for with `name@version`. */
  readonly versions: ReadonlyMap<BrokerName, string>
  /** The name of a tool, for the command `tool`. */
  readonly tool: string | undefined
  readonly instance: string
  readonly ports: ReadonlyMap<string, number>
  readonly dataDir: string | undefined
  readonly fresh: boolean
  readonly config: readonly string[]
  readonly allowForeign: boolean
  /** Where brokers run; undefined: in Docker if an engine runs and the instance is the default one. */
  readonly where: 'local' | 'docker' | undefined
}

const USAGE = `usage: brokers up [redis[@VERSION]] [rabbitmq[@VERSION]] [kafka[@VERSION]] [valkey[@VERSION]] [options]
       brokers <down|status|restart|kill> [redis] [rabbitmq] [kafka] [valkey] [options]
       brokers versions             lists what VERSION may be: a version, a series (4.3) or a suite of Debian (forky)
       brokers tool <redis-cli|kcat|rabbitmqctl|kafka-topics|...> [--instance NAME]   prints the tool's path

  --port N                     main port, with one broker name; 0 picks a free one
  --redis-port N               STREAMSWITCH_REDIS_PORT                (6379)
  --valkey-port N              STREAMSWITCH_VALKEY_PORT               (6379)
  --rabbitmq-port N            STREAMSWITCH_RABBITMQ_PORT             (5672)
  --rabbitmq-stream-port N     STREAMSWITCH_RABBITMQ_STREAM_PORT      (5552)
  --rabbitmq-management-port N STREAMSWITCH_RABBITMQ_MANAGEMENT_PORT  (15672)
  --kafka-port N               STREAMSWITCH_KAFKA_PORT                (9092)
  --instance NAME              STREAMSWITCH_BROKERS_INSTANCE: a set of brokers apart from others, on free ports by default
  --data-dir DIR               STREAMSWITCH_BROKERS_DATA_DIR: data in DIR/<broker>, kept by down (default: temporary)
  --fresh                      start with empty data
  --config LINE                extra line of the broker's configuration, with one broker name; may be repeated
  --allow-foreign              accept a server of the same kind that somebody else runs on the port
  --local, --docker            where to run; default: Docker Compose when an engine runs, else local processes
`

/** The variable part of an option's name: `redis` for the main port, `rabbitmq-stream` for a further one. */
export function portOptionName(definition: BrokerDefinition, purpose: string): string {
  return Object.keys(definition.clientPorts)[0] === purpose ? definition.name : `${definition.name}-${purpose}`
}

function portOptionNames(): string[] {
  return BROKER_NAMES.map(brokerDefinition).flatMap((definition) =>
    Object.keys(definition.clientPorts).map((purpose) => portOptionName(definition, purpose)),
  )
}

/**
 * Reads a command line and the environment; an option wins over its variable.
 * Throws INVALID_ARGUMENT, naming the option or variable, when something can't be used.
 */
export function readCliOptions(args: readonly string[], environment: NodeJS.ProcessEnv): CliOptions {
  const { values, positionals } = parse(args)
  const [word, ...operands] = positionals
  const command = COMMANDS.find((candidate) => candidate === word)
  if (command === undefined)
    throw new BrokerError(
      'INVALID_ARGUMENT',
      `${word === undefined ? 'no command' : `unknown command ${word}`}\n${USAGE}`,
    )
  if (values.local === true && values.docker === true)
    throw new BrokerError('INVALID_ARGUMENT', '--local and --docker exclude each other')
  const specs = command === 'tool' ? [] : operands.map(parseBrokerSpec)
  const versions = readVersions(command, specs)
  const single = specs.length === 1 && specs[0] !== undefined ? brokerDefinition(specs[0].name) : undefined
  if (values.config !== undefined && single === undefined)
    throw new BrokerError('INVALID_ARGUMENT', '--config needs exactly one broker name')
  return {
    command,
    brokers: BROKER_NAMES.filter((name) => specs.some((spec) => spec.name === name)),
    versions,
    tool: command === 'tool' ? operands[0] : undefined,
    instance: values.instance ?? (environment['STREAMSWITCH_BROKERS_INSTANCE'] || 'default'),
    ports: readPorts(values, single, environment),
    dataDir: values['data-dir'] ?? (environment['STREAMSWITCH_BROKERS_DATA_DIR'] || undefined),
    fresh: values.fresh === true,
    config: values.config ?? [],
    allowForeign: values['allow-foreign'] === true,
    where: values.local === true ? 'local' : values.docker === true ? 'docker' : undefined,
  }
}

function parse(args: readonly string[]) {
  const portOptions = Object.fromEntries(portOptionNames().map((name) => [`${name}-port`, { type: 'string' as const }]))
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...portOptions,
        port: { type: 'string' },
        instance: { type: 'string' },
        'data-dir': { type: 'string' },
        config: { type: 'string', multiple: true },
        fresh: { type: 'boolean' },
        'allow-foreign': { type: 'boolean' },
        local: { type: 'boolean' },
        docker: { type: 'boolean' },
      },
    })
    return { values, positionals }
  } catch (error) {
    throw new BrokerError('INVALID_ARGUMENT', `${(error as Error).message}\n${USAGE}`, { cause: error })
  }
}

/** A broker and the version that is asked for. */
interface BrokerSpec {
  readonly name: BrokerName
  readonly version?: string
}

/** Reads `rabbitmq` or `rabbitmq@4.3`. Throws INVALID_ARGUMENT for an unknown broker or an empty version. */
function parseBrokerSpec(text: string): BrokerSpec {
  const [name = '', ...rest] = text.split('@')
  const broker = brokerDefinition(name).name
  if (rest.length === 0) return { name: broker }
  const version = rest.join('@')
  if (!/^[A-Za-z0-9.]+$/.test(version))
    throw new BrokerError('INVALID_ARGUMENT', `${JSON.stringify(text)}: after ${name}@, expected a version such as 4.3`)
  return { name: broker, version }
}

function readVersions(command: Command, specs: readonly BrokerSpec[]): ReadonlyMap<BrokerName, string> {
  const versions = new Map<BrokerName, string>()
  const seen = new Set<BrokerName>()
  for (const { name, version } of specs) {
    if (seen.has(name))
      throw new BrokerError('INVALID_ARGUMENT', `${name} is named twice; give each version an --instance of its own`)
    seen.add(name)
    if (version === undefined) continue
    if (command !== 'up')
      throw new BrokerError('INVALID_ARGUMENT', `${name}@${version}: only "up" takes a version; name ${name} alone`)
    versions.set(name, version)
  }
  return versions
}

function readPorts(
  values: Readonly<Record<string, unknown>>,
  single: BrokerDefinition | undefined,
  environment: NodeJS.ProcessEnv,
): Map<string, number> {
  const ports = new Map<string, number>()
  for (const name of portOptionNames()) {
    const variable = `STREAMSWITCH_${name.toUpperCase().replaceAll('-', '_')}_PORT`
    const option = values[`${name}-port`]
    if (typeof option === 'string') ports.set(name, readPort(option, `--${name}-port`))
    else if (environment[variable]) ports.set(name, readPort(environment[variable], variable))
  }
  if (typeof values['port'] === 'string') {
    if (single === undefined) throw new BrokerError('INVALID_ARGUMENT', '--port needs exactly one broker name')
    ports.set(single.name, readPort(values['port'], '--port'))
  }
  return ports
}

function readPort(text: string, source: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new BrokerError('INVALID_ARGUMENT', `${source}: ${JSON.stringify(text)} is no port; 0 (free) to 65535`)
  return port
}

/**
 * The brokers that a command is about: those that it names, else the usual ones and whatever else `isKnown` says was started (not for
 * `up`).
 */
export function selectBrokers(options: CliOptions, isKnown: (name: BrokerName) => boolean): readonly BrokerName[] {
  if (options.brokers.length > 0) return options.brokers
  return BROKER_NAMES.filter((name) => DEFAULT_BROKERS.includes(name) || (options.command !== 'up' && isKnown(name)))
}
