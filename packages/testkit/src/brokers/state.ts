import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { BrokerName, PortMap } from './definition.js'
import { BrokerError } from './errors.js'
import type { Installation } from './install.js'
import type { BrokerProcesses } from './local-broker.js'
import { stateFolder } from './paths.js'
import { isRunning } from './process.js'

const FORMAT = 1

/** What is remembered of a broker that `up` has started, until `down`. */
export interface BrokerRecord {
  readonly name: BrokerName
  readonly installation: Installation
  readonly ports: PortMap
  readonly dataDir: string
  readonly temporary: boolean
  readonly config: readonly string[]
  readonly processes: BrokerProcesses
}

/** The records of one set of brokers, each a small file; sets with different instance names don't meet. */
export class BrokerState {
  readonly instance: string
  readonly folder: string

  /** Throws INVALID_ARGUMENT when `instance` is not made of letters, digits, dots, dashes and underscores. */
  constructor(instance = 'default', folder: string = stateFolder()) {
    if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(instance)) {
      throw new BrokerError(
        'INVALID_ARGUMENT',
        `instance name ${JSON.stringify(instance)}: only letters, digits, dots, dashes and underscores`,
      )
    }
    this.instance = instance
    this.folder = join(folder, instance)
  }

  /** The record of a broker, or undefined when there is none or it can't be read. */
  read(name: BrokerName): BrokerRecord | undefined {
    try {
      const content = JSON.parse(readFileSync(this.#file(name), 'utf8')) as BrokerRecord & { format: number }
      return content.format === FORMAT ? content : undefined
    } catch {
      return undefined
    }
  }

  /** Replaces the record of a broker as a whole. */
  write(record: BrokerRecord): void {
    const file = this.#file(record.name)
    // A record names programs that are started again and folders that are removed: nobody else may write it.
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    writeFileSync(`${file}.new`, `${JSON.stringify({ format: FORMAT, ...record }, null, 2)}\n`, { mode: 0o600 })
    renameSync(`${file}.new`, file)
  }

  /** Forgets a broker. */
  remove(name: BrokerName): void {
    rmSync(this.#file(name), { force: true })
  }

  #file(name: BrokerName): string {
    return join(this.folder, `${name}.json`)
  }
}

/** Whether the very process that a record names still runs; a stranger that got its id doesn't count. */
export function isRecordRunning(record: BrokerRecord): boolean {
  return record.processes.broker !== undefined && isRunning(record.processes.broker)
}
