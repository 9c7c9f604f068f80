import { homedir, tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'

type Environment = Readonly<Record<string, string | undefined>>

function xdgFolder(variable: string, fallback: string, environment: Environment): string {
  const value = environment[variable]
  // The XDG specification says that a relative value is to be ignored.
  const base = value !== undefined && isAbsolute(value) ? value : join(homedir(), fallback)
  return join(base, 'streamswitch', 'brokers')
}

/** Where installed brokers live: `${XDG_CACHE_HOME:-~/.cache}/streamswitch/brokers`. */
export function cacheFolder(environment: Environment = process.env): string {
  return xdgFolder('XDG_CACHE_HOME', '.cache', environment)
}

/** Where the records of running brokers live: `${XDG_STATE_HOME:-~/.local/state}/streamswitch/brokers`. */
export function stateFolder(environment: Environment = process.env): string {
  return xdgFolder('XDG_STATE_HOME', join('.local', 'state'), environment)
}

/** The prefix of data folders that nobody chose; they lie in the system's folder for temporary files. */
export function temporaryDataPrefix(brokerName: string): string {
  return join(tmpdir(), `streamswitch-${brokerName}-`)
}
