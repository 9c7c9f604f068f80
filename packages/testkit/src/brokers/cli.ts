#!/usr/bin/env node
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CliOptions, readCliOptions, selectBrokers } from './cli-options.js'
import { BROKER_NAMES, type BrokerName } from './definition.js'
import { findComposeFile, isDockerUsable, runInDocker } from './docker.js'
import { BrokerError, messageOf } from './errors.js'
import { attachBroker, bringUp, killBroker, restartBroker, takeDown } from './local-commands.js'
import { withMachineLock } from './lock.js'
import { listReleases } from './releases.js'
import { BrokerState, isRecordRunning } from './state.js'
import { formatStatus, type StatusRow } from './status-table.js'
import { brokerTool } from './tools.js'

function progress(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function statusOf(name: BrokerName, state: BrokerState): Promise<StatusRow> {
  const record = state.read(name)
  if (record === undefined) return [name, '-', '-', '-', '-', 'not started']
  const broker = attachBroker(state, record)
  const ports = Object.entries(broker.ports)
    .map(([purpose, port]) => `${purpose} ${port}`)
    .join(', ')
  const health = !isRecordRunning(record) ? 'not running' : (await broker.healthy()) ? 'healthy' : 'no answer'
  return [name, broker.version, String(broker.pid ?? '-'), ports, broker.dataDir, health]
}

async function runLocally(options: CliOptions, names: readonly BrokerName[]): Promise<void> {
  const state = new BrokerState(options.instance)
  if (options.command === 'status') {
    process.stdout.write(`${formatStatus(await Promise.all(names.map((name) => statusOf(name, state))))}\n`)
    return
  }
  const failures: string[] = []
  // Installing is bound by the network and starting by the broker's own waits, so all go on at once.
  await Promise.all(
    names.map(async (name) => {
      try {
        // Two commands at the same time would overwrite each other's record.
        const line = await withMachineLock(state.folder, `command ${name}`, () => runOne(name, state, options))
        progress(line)
      } catch (error) {
        failures.push(`${name}: ${messageOf(error)}`)
      }
    }),
  )
  if (failures.length > 0) throw new BrokerError('UNAVAILABLE', failures.join('\n\n'))
}

function runOne(name: BrokerName, state: BrokerState, options: CliOptions): Promise<string> {
  switch (options.command) {
    case 'up':
      return bringUp(name, state, options, progress)
    case 'down':
      return takeDown(name, state)
    case 'kill':
      return killBroker(name, state)
    default:
      return restartBroker(name, state)
  }
}

/** Prints a tool's path: that of a started broker where the tool has to know it, else of the installation. */
async function printTool(options: CliOptions): Promise<void> {
  const name = options.tool
  if (name === undefined) throw new BrokerError('INVALID_ARGUMENT', 'which tool? For example: brokers tool redis-cli')
  const state = new BrokerState(options.instance)
  const record = name.startsWith('rabbitmq') ? state.read('rabbitmq') : undefined
  process.stdout.write(
    `${record === undefined ? await brokerTool(name, progress) : attachBroker(state, record).tool(name)}\n`,
  )
}

function printVersions(options: CliOptions): void {
  for (const name of options.brokers.length > 0 ? options.brokers : BROKER_NAMES)
    process.stdout.write(`${name}: ${listReleases(name).join(', ')}\n`)
}

async function usesDocker(options: CliOptions): Promise<boolean> {
  const onlyLocal = options.versions.size > 0 || options.brokers.includes('valkey')
  if (onlyLocal && options.where === 'docker')
    throw new BrokerError('INVALID_ARGUMENT', 'versions and valkey are for local processes, not for --docker')
  if (onlyLocal) return false
  if (options.where !== undefined) return options.where === 'docker'
  return options.instance === 'default' && composeFile() !== undefined && (await isDockerUsable())
}

function composeFile(): string | undefined {
  return findComposeFile(process.cwd()) ?? findComposeFile(dirname(fileURLToPath(import.meta.url)))
}

async function main(): Promise<void> {
  const options = readCliOptions(process.argv.slice(2), process.env)
  if (options.command === 'tool') return printTool(options)
  if (options.command === 'versions') return printVersions(options)
  const state = new BrokerState(options.instance)
  const names = selectBrokers(options, (name) => state.read(name) !== undefined)
  if (!(await usesDocker(options))) return runLocally(options, names)
  process.stdout.write(`${await runInDocker(options.command, names, options.ports, composeFile())}\n`)
  // Brokers that were started as local processes, before there was an engine, are ours to end as well.
  if (options.command === 'down') await runLocally(options, names)
}

try {
  await main()
} catch (error) {
  progress(error instanceof BrokerError ? error.message : String(error instanceof Error ? error.stack : error))
  process.exitCode = 1
}
