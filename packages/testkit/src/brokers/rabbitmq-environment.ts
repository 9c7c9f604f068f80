import { join } from 'node:path'
import { type BrokerInstance, portOf } from './definition.js'

/** How many ports, from `tools` on, the command line tools may use for their own end of the Erlang distribution. */
const TOOL_PORT_COUNT = 20

/** The folder of an instance that holds home, cookie and configuration. */
export function rabbitmqPaths(dataDir: string) {
  return {
    home: join(dataDir, 'home'),
    cookie: join(dataDir, 'home/.erlang.cookie'),
    configuration: join(dataDir, 'rabbitmq.conf'),
    advanced: join(dataDir, 'advanced.config'),
    environment: join(dataDir, 'rabbitmq-env.conf'),
    plugins: join(dataDir, 'enabled_plugins'),
    database: join(dataDir, 'mnesia'),
    logs: join(dataDir, 'log'),
    tools: join(dataDir, 'bin'),
  }
}

/** Who a node is. */
export interface RabbitmqNode {
  readonly name: string
  /** Port of an epmd that several nodes share and somebody else runs. Left out: the node has one of its own. */
  readonly sharedEpmdPort?: number
  /** The Erlang cookie that the nodes of a cluster share. Default: a random one for each data folder. */
  readonly cookie?: string
}

/** What the broker's process and the tools for it need to find: every path and port of exactly this instance. */
export function rabbitmqEnvironment({ ports, dataDir }: BrokerInstance, node: RabbitmqNode): Record<string, string> {
  const paths = rabbitmqPaths(dataDir)
  const loopbackOnly = '-kernel inet_dist_use_interface {127,0,0,1}'
  const tools = portOf(ports, 'tools')
  return {
    HOME: paths.home,
    ERL_EPMD_PORT: String(node.sharedEpmdPort ?? portOf(ports, 'epmd')),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_NODENAME: node.name,
    RABBITMQ_DIST_PORT: String(portOf(ports, 'distribution')),
    RABBITMQ_CTL_DIST_PORT_MIN: String(tools),
    RABBITMQ_CTL_DIST_PORT_MAX: String(tools + TOOL_PORT_COUNT - 1),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: loopbackOnly,
    RABBITMQ_CTL_ERL_ARGS: loopbackOnly,
    RABBITMQ_MNESIA_BASE: paths.database,
    RABBITMQ_LOG_BASE: paths.logs,
    RABBITMQ_LOGS: '-',
    RABBITMQ_CONFIG_FILE: paths.configuration,
    RABBITMQ_ADVANCED_CONFIG_FILE: paths.advanced,
    RABBITMQ_CONF_ENV_FILE: paths.environment,
    RABBITMQ_ENABLED_PLUGINS_FILE: paths.plugins,
    RABBITMQ_PID_FILE: join(dataDir, 'pid'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(dataDir, 'generated'),
    // Makes the start script exec the virtual machine: otherwise its process is a shell whose death orphans the broker.
    RUNNING_UNDER_SYSTEMD: 'true',
    LC_ALL: 'C.UTF-8',
  }
}
