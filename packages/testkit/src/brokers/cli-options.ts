import { parseArgs } from 'node:util'
import { BROKER_NAMES, type BrokerDefinition, type BrokerName } from './definition.js'
import { BrokerError } from './errors.js'
import { brokerDefinition } from './start.js'

/** The commands of `pnpm brokers`. */
const COMMANDS = ['up', 'down', 'status', 'restart', 'kill', 'tool'] as const
type Command = (typeof COMMANDS)[number]

/** What a command line and the environment ask for. */
export interface CliOptions {
  readonly command: Command
  /** What follows the command: broker names, or the tool and its arguments. */
  readonly operands: readonly string[]
  readonly instance: string
  readonly ports: ReadonlyMap<string, number>
  readonly dataDir: string | undefined
  readonly fresh: boolean
  readonly config: readonly string[]
  readonly allowForeign: boolean
  /** Where brokers run; undefined: in Docker if an engine runs and the instance is the default one. */
  readonly where: 'local' | 'docker' | undefined
}

const USAGE = `usage: brokers <up|down|status|restart|kill> [redis] [rabbitmq] [kafka] [options]
       brokers tool <redis-cli|kcat|rabbitmqctl|kafka-topics|...> [--instance NAME]   prints the tool's path

  --port N                     main port, with one broker name; 0 picks a free one
  --redis-port N               STREAMSWITCH_REDIS_PORT                (6379)
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
  const single = command === 'tool' ? undefined : soleBroker(operands)
  if (values.config !== undefined && single === undefined)
    throw new BrokerError('INVALID_ARGUMENT', '--config needs exactly one broker name')
  return {
    command,
    operands,
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

function soleBroker(operands: readonly string[]): BrokerDefinition | undefined {
  return operands.length === 1 && operands[0] !== undefined ? brokerDefinition(operands[0]) : undefined
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

/** The brokers that a command names, in the usual order; all when it names none. Throws INVALID_ARGUMENT for unknown ones. */
export function selectBrokers(operands: readonly string[]): readonly BrokerName[] {
  for (const operand of operands) brokerDefinition(operand)
  return operands.length === 0 ? BROKER_NAMES : BROKER_NAMES.filter((name) => operands.includes(name))
}
