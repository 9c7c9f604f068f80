import { execFile } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readCliOptions } from '../src/brokers/cli-options.js'
import { type BrokerHandle, startBroker } from '../src/brokers/index.js'
import { findInstalled } from '../src/brokers/install.js'
import { installationName, parseSimulation } from '../src/brokers/install-debian.js'
import { kafka } from '../src/brokers/kafka.js'
import { kafkaRecipe } from '../src/brokers/kafka-install.js'
import { Patience } from '../src/brokers/patience.js'
import { chooseDebian, chooseKafka, listReleases } from '../src/brokers/releases.js'
import { compareVersions, matchesVersion } from '../src/brokers/versions.js'

const run = promisify(execFile)

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-versions-test-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('versions of brokers', () => {
  it('belong to a series by whole numbers and are ordered by number', () => {
    expect(matchesVersion('8.0.2', '8')).toBe(true)
    expect(matchesVersion('8.0.2', '8.0.2')).toBe(true)
    expect(matchesVersion('8.0.20', '8.0.2')).toBe(false)
    expect(matchesVersion('18.0', '8')).toBe(false)
    expect(['8.0.10', '8.0.2', '8', '9.1.2'].sort(compareVersions)).toEqual(['8', '8.0.2', '8.0.10', '9.1.2'])
  })

  it('come from the suite that has the newest of a series, the more stable one where two have it', () => {
    expect(chooseDebian('redis', undefined)).toEqual({ suite: 'trixie', version: undefined })
    expect(chooseDebian('redis', '7')).toEqual({ suite: 'bookworm', version: '7' })
    expect(chooseDebian('redis', '8')).toEqual({ suite: 'experimental', version: '8' })
    expect(chooseDebian('redis', '8.0')).toEqual({ suite: 'forky', version: '8.0' })
    expect(chooseDebian('rabbitmq', '4.0')).toEqual({ suite: 'trixie', version: '4.0' })
    expect(chooseDebian('rabbitmq', '4')).toEqual({ suite: 'forky', version: '4' })
    expect(chooseDebian('valkey', 'sid')).toEqual({ suite: 'sid', version: undefined })
    expect(chooseKafka('4.3')).toBe('4.3.1')
    expect(chooseKafka('3.9')).toBe('3.9.2')
    expect(kafkaRecipe(undefined, { STREAMSWITCH_KAFKA_VERSION: '4.2.0' }).version).toBe('4.2.0')
    expect(kafkaRecipe('3.9', { STREAMSWITCH_KAFKA_VERSION: '4.2.0' }).version).toBe('3.9.2')
    expect(kafkaRecipe(undefined, {}).version).toBe('4.3.1')
  })

  it('that are unknown are refused with a list of what there is', async () => {
    const unknown = { code: 'NOT_FOUND', message: expect.stringContaining(listReleases('rabbitmq').join(', ')) }
    await expect(startBroker('rabbitmq', { version: '5' })).rejects.toMatchObject(unknown)
    await expect(startBroker('kafka', { version: 'trixie' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('4.4.0'),
    })
  })

  it('lie side by side in the cache, and the newest of a series is found', () => {
    const install = (name: string, version: string): void => {
      const path = join(folder, `${name}-${version}`)
      rmSync(path, { recursive: true, force: true })
      writeManifest(path, { name, version, revision: 1 })
    }
    install('thing', '8.0.2')
    install('thing', '8.0.10')
    install('thing-forky', '9.1')
    expect(findInstalled({ name: 'thing', revision: 1 }, folder)?.version).toBe('8.0.10')
    expect(findInstalled({ name: 'thing', revision: 1, version: '8.0.2' }, folder)?.version).toBe('8.0.2')
    expect(findInstalled({ name: 'thing', revision: 1, version: '9' }, folder)).toBeUndefined()
    expect(findInstalled({ name: installationName('thing', 'forky'), revision: 1 }, folder)?.version).toBe('9.1')
    expect(installationName('thing', 'trixie')).toBe('thing')
  })

  it('are read from the simulation of an installation', () => {
    const output = [
      'Inst libc6 (2.43-7 Debian:unstable [amd64]) []',
      'Inst redis-tools [5:8.0.2-1] (5:8.6.3-1 Debian:experimental [amd64])',
      'Conf libc6 (2.43-7 Debian:unstable [amd64])',
    ].join('\n')
    expect(parseSimulation(output)).toEqual([
      { name: 'libc6', version: '2.43-7' },
      { name: 'redis-tools', version: '5:8.6.3-1' },
    ])
  })

  it('are named on the command line, one for each broker, and only for up', () => {
    const { brokers, versions } = readCliOptions(['up', 'kafka', 'rabbitmq@4.3', 'valkey'], {})
    expect(brokers).toEqual(['valkey', 'rabbitmq', 'kafka'])
    expect([...versions]).toEqual([['rabbitmq', '4.3']])
    expect(() => readCliOptions(['up', 'redis@7', 'redis@8'], {})).toThrow(/redis is named twice/)
    expect(() => readCliOptions(['kill', 'redis@7'], {})).toThrow(/only "up" takes a version/)
    for (const operand of ['redis@', 'redis@7@8', 'redis@../x'])
      expect(() => readCliOptions(['up', operand], {})).toThrow(/expected a version/)
  })

  it('run side by side, are killed and started again', { timeout: 180_000 }, async () => {
    await using old = await startBroker('redis', { version: '7' })
    await using other = await startBroker('valkey', { version: '9' })
    expect(old.version).toMatch(/^7\./)
    expect(other.version).toMatch(/^9\./)
    for (const [broker, client] of [
      [old, 'redis-cli'],
      [other, 'valkey-cli'],
    ] as const) {
      expect(await ask(broker, client, 'set', 'answered', 'yes')).toBe('OK')
      await broker.kill()
      await broker.start()
      expect(await ask(broker, client, 'get', 'answered')).toBe('yes')
      expect(await ask(broker, client, 'info', 'server')).toContain(`${broker.name}_version:${broker.version}`)
    }
  })
})

describe('a start on a loaded machine', () => {
  it('goes on while the log grows, and ends when it does not', async () => {
    const log = join(folder, 'broker.log')
    writeFileSync(log, 'starting\n')
    const patience = new Patience(60_000, log)
    const before = patience.leftMs()
    await delay(20)
    expect(patience.leftMs()).toBeLessThan(before)
    appendFileSync(log, 'one more line\n')
    expect(patience.leftMs()).toBeGreaterThanOrEqual(before)
    expect(patience.describe()).toContain('without progress in its log')
  })

  it('gives Kafka a long session, and a short one after a kill so that it may register again', {
    timeout: 120_000,
  }, async () => {
    const installation = await kafka.install(undefined, () => undefined)
    const instance = { installation, ports: { kafka: 21_092, controller: 21_093 }, dataDir: folder, config: [] }
    const session = async (): Promise<string | undefined> => {
      await kafka.prepare(instance)
      return /^broker\.session\.timeout\.ms=(\d+)$/m.exec(readFileSync(join(folder, 'server.properties'), 'utf8'))?.[1]
    }
    expect(await session(), 'on a fresh folder').toBe('20000')
    expect(await session(), 'without the file that a regular stop leaves').toBe('2000')
    writeFileSync(join(folder, 'kafka-logs/.kafka_cleanshutdown'), '')
    expect(await session(), 'after a regular stop').toBe('20000')
  })
})

async function ask(broker: BrokerHandle, client: string, ...command: string[]): Promise<string> {
  const { stdout } = await run(broker.tool(client), ['-p', String(broker.ports['redis']), ...command])
  return stdout.trim()
}

function writeManifest(path: string, manifest: object): void {
  mkdirSync(path)
  writeFileSync(join(path, 'installed.json'), JSON.stringify(manifest))
}
