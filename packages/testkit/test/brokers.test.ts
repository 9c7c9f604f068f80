import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readCliOptions } from '../src/brokers/cli-options.js'
import { mergeSettings } from '../src/brokers/configuration.js'
import { openDataFolder, removeDataFolder } from '../src/brokers/data-folder.js'
import { findComposeFile } from '../src/brokers/docker.js'
import { ensureInstalled, findInstalled, type InstallRecipe } from '../src/brokers/install.js'
import { upstreamVersion } from '../src/brokers/install-debian.js'
import { javaMajorVersion } from '../src/brokers/install-maven.js'
import { lockAddress, withMachineLock } from '../src/brokers/lock.js'
import { describePortHolder, findFreePort, findPortHolder, isPortFree, listeningInodes } from '../src/brokers/ports.js'
import {
  identifyProcess,
  isRunning,
  killAndWait,
  parseProcessStat,
  runProgram,
  signalProcess,
} from '../src/brokers/process.js'
import { type BrokerRecord, BrokerState, isRecordRunning } from '../src/brokers/state.js'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-brokers-test-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('ports', () => {
  it('finds the listening sockets of one port in the kernel table', () => {
    const table = [
      '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
      '   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1',
      '   1: 0100007F:18EB 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1',
      '   2: 0100007F:18EC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1',
    ].join('\n')
    expect(listeningInodes(table, 6379)).toEqual(['4711'])
    expect(listeningInodes(table, 6381)).toEqual([])
  })

  it('names the process that holds a port', async () => {
    const port = await findFreePort()
    expect(await isPortFree(port)).toBe(true)
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    try {
      expect(await isPortFree(port)).toBe(false)
      expect(findPortHolder(port)?.pid).toBe(process.pid)
      expect(describePortHolder(port)).toContain(`port ${port} is held by process ${process.pid}`)
    } finally {
      server.close()
      await once(server, 'close')
    }
    expect(findPortHolder(port)).toBeUndefined()
  })

  it('hands out different ports below the range of outgoing connections', async () => {
    const ports = await Promise.all(Array.from({ length: 20 }, () => findFreePort()))
    expect(new Set(ports).size).toBe(20)
    expect(Math.max(...ports)).toBeLessThan(32_768)
  })
})

describe('processes', () => {
  it('reads state, threads and start time behind a name with spaces and parentheses', () => {
    const line = '42 (a) b (c)) T 1 42 42 0 -1 4194560 0 0 0 0 1 2 3 4 20 0 7 0 98765 1 2'
    expect(parseProcessStat(line)).toEqual({ state: 'T', threadCount: 7, startTicks: 98_765 })
  })

  it('does not take a process with a reused id for the one it remembers, and never signals it', async () => {
    const child = spawn('sleep', ['60'])
    await once(child, 'spawn')
    const identity = identifyProcess(child.pid ?? 0)
    if (identity === undefined) throw new Error('the child has no identity')
    const predecessor = { ...identity, startTicks: identity.startTicks - 1 }
    const earlierBoot = { ...identity, bootId: 'another boot' }
    expect(isRunning(predecessor)).toBe(false)
    expect(signalProcess(predecessor, 'SIGKILL')).toBe(false)
    expect(signalProcess(earlierBoot, 'SIGKILL')).toBe(false)
    expect(isRunning(identity)).toBe(true)
    await killAndWait(identity)
    expect(isRunning(identity)).toBe(false)
  })

  it('says what to install when a program is missing', async () => {
    const failure = runProgram('no-such-program-here', [], 'Install it with: apt-get install something')
    await expect(failure).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'no-such-program-here is not installed. Install it with: apt-get install something',
    })
  })

  it('quotes the output of a program that fails', async () => {
    const failure = runProgram('sh', ['-c', 'echo unreachable >&2; exit 3'], '')
    await expect(failure).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('unreachable'),
    })
  })
})

describe('records of started brokers', () => {
  const record = (pid: number, startTicks: number): BrokerRecord => ({
    name: 'redis',
    installation: { name: 'redis', version: '8.0.2', folder: '/nowhere' },
    ports: { redis: 21_379 },
    dataDir: '/nowhere',
    temporary: true,
    config: [],
    processes: { broker: { pid, startTicks, bootId: identifyProcess(process.pid)?.bootId ?? '' } },
  })

  it('keeps them apart by instance and forgets them', () => {
    const state = new BrokerState('one', folder)
    state.write(record(1, 1))
    expect(state.read('redis')).toMatchObject(record(1, 1))
    expect(new BrokerState('two', folder).read('redis')).toBeUndefined()
    state.remove('redis')
    expect(state.read('redis')).toBeUndefined()
  })

  it('does not count a stranger that got the process id', () => {
    const own = identifyProcess(process.pid)
    if (own === undefined) throw new Error('this process has no identity')
    expect(isRecordRunning(record(own.pid, own.startTicks))).toBe(true)
    expect(isRecordRunning(record(own.pid, own.startTicks + 1))).toBe(false)
  })

  it('ignores a record that was cut off, and refuses instance names that leave the folder', () => {
    const state = new BrokerState('one', folder)
    state.write(record(1, 1))
    writeFileSync(join(state.folder, 'redis.json'), '{"format":1,"name":"re')
    expect(state.read('redis')).toBeUndefined()
    expect(() => new BrokerState('../one', folder)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})

describe('installation', () => {
  const recipe = (build: InstallRecipe['build']): InstallRecipe => ({ name: 'thing', revision: 2, build })
  const quiet = (): void => undefined

  it('is redone when an earlier one was left unfinished, and its remains are removed', async () => {
    mkdirSync(join(folder, 'thing-1.0'), { recursive: true })
    mkdirSync(join(folder, '.thing-99.partial-x'))
    mkdirSync(join(folder, 'thing-else-1.0'))
    expect(findInstalled({ name: 'thing', revision: 2 }, folder)).toBeUndefined()
    const installed = await ensureInstalled(
      recipe(async () => '1.0'),
      quiet,
      folder,
    )
    expect(installed).toEqual({ name: 'thing', version: '1.0', folder: join(folder, 'thing-1.0') })
    expect(existsSync(join(folder, '.thing-99.partial-x'))).toBe(false)
    expect(existsSync(join(folder, 'thing-else-1.0'))).toBe(true)
    expect(findInstalled({ name: 'thing', revision: 2 }, folder)).toEqual(installed)
    expect(findInstalled({ name: 'thing', revision: 3 }, folder)).toBeUndefined()
  })

  it('leaves nothing behind when it fails', async () => {
    const failing = recipe(async (target) => {
      writeFileSync(join(target, 'half'), '')
      throw new Error('the network is gone')
    })
    await expect(ensureInstalled(failing, quiet, folder)).rejects.toThrow('the network is gone')
    await expect(
      ensureInstalled(
        recipe(async () => '1.0'),
        quiet,
        folder,
      ),
    ).resolves.toMatchObject({ version: '1.0' })
  })

  it('happens once when several ask at the same time', async () => {
    let builds = 0
    const counting = recipe(async () => {
      builds++
      await promisify(execFile)('true')
      return '1.0'
    })
    const all = await Promise.all(Array.from({ length: 4 }, () => ensureInstalled(counting, quiet, folder)))
    expect(new Set(all.map((one) => one.folder)).size).toBe(1)
    expect(builds).toBe(1)
  })

  it('waits for another process that holds the lock, until that one is killed', async () => {
    const script = "require('node:net').createServer().listen('\\0' + process.argv[1], () => console.log('held'))"
    const holder = spawn(process.execPath, ['-e', script, lockAddress(folder, 'turn')])
    await once(holder.stdout, 'data')
    let waited = false
    const turn = withMachineLock(
      folder,
      'turn',
      async () => 'mine',
      () => {
        waited = true
        holder.kill('SIGKILL')
      },
    )
    await expect(turn).resolves.toBe('mine')
    expect(waited).toBe(true)
  })

  it('reads versions of Debian packages and of Java', () => {
    expect(upstreamVersion('5:8.0.2-3+deb13u1')).toBe('8.0.2')
    expect(upstreamVersion('4.0.5-4')).toBe('4.0.5')
    expect(javaMajorVersion('openjdk version "17.0.15" 2025-04-15')).toBe(17)
    expect(javaMajorVersion('java version "1.8.0_392"')).toBe(8)
    expect(javaMajorVersion('nonsense')).toBeUndefined()
  })
})

describe('data folders', () => {
  it('empties its own, and refuses and keeps what it did not make', async () => {
    const foreign = join(folder, 'foreign')
    mkdirSync(foreign)
    writeFileSync(join(foreign, 'precious'), 'x')
    await expect(openDataFolder('redis', foreign, true)).rejects.toMatchObject({ code: 'CONFLICT' })
    await removeDataFolder(foreign, 'redis')
    expect(readFileSync(join(foreign, 'precious'), 'utf8')).toBe('x')

    const own = join(folder, 'own')
    await openDataFolder('redis', own, false)
    writeFileSync(join(own, 'old'), 'x')
    await openDataFolder('redis', own, false)
    expect(existsSync(join(own, 'old'))).toBe(true)
    await expect(openDataFolder('kafka', own, true)).rejects.toMatchObject({ code: 'CONFLICT' })
    await openDataFolder('redis', own, true)
    expect(existsSync(join(own, 'old'))).toBe(false)
  })
})

describe('configuration', () => {
  it('lets extra lines win over settings with the same key', () => {
    expect(mergeSettings({ a: 1, 'b.c': 'x' }, ['b.c = y', 'd = z'], ' = ')).toBe('a = 1\nb.c = y\nd = z\n')
  })

  it('takes ports from options before variables and names what is wrong', () => {
    const environment = { STREAMSWITCH_REDIS_PORT: '21000', STREAMSWITCH_RABBITMQ_STREAM_PORT: '21001' }
    const options = readCliOptions(['up', 'redis', '--port', '21002'], environment)
    expect([...options.ports]).toEqual([
      ['redis', 21_002],
      ['rabbitmq-stream', 21_001],
    ])
    expect(() => readCliOptions(['up'], { STREAMSWITCH_KAFKA_PORT: 'many' })).toThrow(/STREAMSWITCH_KAFKA_PORT: "many"/)
    expect(() => readCliOptions(['up', '--port', '1'], {})).toThrow(/exactly one broker/)
    expect(() => readCliOptions(['up', 'mosquitto'], {})).toThrow(/unknown broker mosquitto/)
    expect(() => readCliOptions(['start'], {})).toThrow(/unknown command start/)
  })

  it("finds this project's compose file from below and no other project's", () => {
    const below = join(folder, 'a/b')
    mkdirSync(below, { recursive: true })
    writeFileSync(join(folder, 'docker-compose.yml'), 'name: streamswitch\n')
    writeFileSync(join(folder, 'a/docker-compose.yml'), 'name: other\n')
    expect(findComposeFile(below)).toBe(join(folder, 'docker-compose.yml'))
  })
})
