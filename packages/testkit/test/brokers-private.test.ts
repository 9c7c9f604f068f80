import { execFile } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDataFolder } from '../src/brokers/data-folder.js'
import { type BrokerHandle, startBroker } from '../src/brokers/index.js'
import { ensureInstalled } from '../src/brokers/install.js'
import { lockAddress } from '../src/brokers/lock.js'
import { findPortHolder, listeningAddresses } from '../src/brokers/ports.js'
import { makeCookie, writeCookie } from '../src/brokers/rabbitmq-cookie.js'
import { BrokerState } from '../src/brokers/state.js'

const run = promisify(execFile)
const LOOPBACK = /^(0100007F|00000000000000000000000001000000|0000000000000000FFFF00000100007F)$/

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'streamswitch-private-test-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)
const cookieOf = (dataDir: string): string => readFileSync(join(dataDir, 'home/.erlang.cookie'), 'utf8')

/** Runs `rabbitmqctl` on a broker with a cookie of the caller's choice, as another user of the machine could. */
async function runWithCookie(broker: BrokerHandle, cookie: string): Promise<string> {
  const { stdout } = await run(broker.tool('rabbitmqctl'), ['--erlang-cookie', cookie, 'eval', '1 + 1.'])
  return stdout.trim()
}

describe('the Erlang cookie of a local RabbitMQ', { timeout: 120_000 }, () => {
  it('is random for each data folder, readable by its user alone, and the only one that the node accepts', async () => {
    const dataDir = join(folder, 'rabbitmq')
    await using broker = await startBroker('rabbitmq', { dataDir })
    const cookie = cookieOf(broker.dataDir)
    expect(cookie).toMatch(/^[0-9a-f]{64}$/)
    expect(modeOf(join(broker.dataDir, 'home/.erlang.cookie'))).toBe('600')
    expect(modeOf(broker.dataDir)).toBe('700')

    expect((await run(broker.tool('rabbitmqctl'), ['eval', '1 + 1.'])).stdout.trim()).toBe('2')
    for (const other of ['streamswitch-local-only', makeCookie()])
      await expect(runWithCookie(broker, other)).rejects.toThrow(/unable to perform an operation|Authentication failed/)

    const mapper = findPortHolder(broker.ports['epmd'] ?? 0)?.pid
    const listening = [broker.pid, mapper].flatMap((pid) => listeningAddresses(pid ?? 0))
    expect(listening.map(({ port }) => port)).toEqual(
      expect.arrayContaining([broker.ports['distribution'], broker.ports['epmd']]),
    )
    expect(listening.filter(({ address }) => !LOOPBACK.test(address))).toEqual([])

    await broker.stop()
    await broker.start()
    expect(cookieOf(broker.dataDir), 'is kept over a restart').toBe(cookie)
  })

  it('replaces one that others may know, keeps its own, and takes the shared one of a cluster', async () => {
    const file = join(folder, '.erlang.cookie')
    for (const known of ['streamswitch-local-only', '', 'short']) {
      writeFileSync(file, known)
      chmodSync(file, 0o444)
      await writeCookie(file)
      expect(readFileSync(file, 'utf8')).toMatch(/^[0-9a-f]{64}$/)
      expect(modeOf(file)).toBe('600')
    }
    const own = readFileSync(file, 'utf8')
    await writeCookie(file)
    expect(readFileSync(file, 'utf8')).toBe(own)
    const shared = makeCookie()
    await writeCookie(file, shared)
    expect(readFileSync(file, 'utf8')).toBe(shared)
    expect(new Set([own, shared, makeCookie()]).size).toBe(3)
  })
})

describe('folders of the launcher', () => {
  const FOREIGN_USER = 4711

  it('are closed to other users, whatever their mode was', async () => {
    const chosen = join(folder, 'open')
    mkdirSync(chosen)
    chmodSync(chosen, 0o777)
    expect(modeOf((await openDataFolder('redis', chosen, false)).path)).toBe('700')
    expect(modeOf((await openDataFolder('redis', join(folder, 'new/redis'), false)).path)).toBe('700')
    const temporary = await openDataFolder('redis', undefined, false)
    expect(modeOf(temporary.path)).toBe('700')
    rmSync(temporary.path, { recursive: true })
  })

  it('are refused when another user created them first', async ({ skip }) => {
    if (process.getuid?.() !== 0) skip('only root can give a folder away')
    const planted = join(folder, 'planted')
    mkdirSync(planted)
    chownSync(planted, FOREIGN_USER, FOREIGN_USER)
    const conflict = {
      code: 'CONFLICT',
      message: expect.stringContaining(`${planted} belongs to user ${FOREIGN_USER}`),
    }
    await expect(openDataFolder('redis', planted, false)).rejects.toMatchObject(conflict)
    const recipe = { name: 'thing', revision: 1, build: async () => '1.0' }
    mkdirSync(join(planted, 'thing-1.0'))
    writeFileSync(join(planted, 'thing-1.0/installed.json'), '{"name":"thing","version":"1.0","revision":1}')
    await expect(ensureInstalled(recipe, () => undefined, planted)).rejects.toMatchObject(conflict)
  })

  it('hold records that only their user can read', () => {
    const state = new BrokerState('one', join(folder, 'state'))
    state.write({
      name: 'redis',
      installation: { name: 'redis', version: '8.0.2', folder: '/nowhere' },
      ports: { redis: 21_379 },
      dataDir: '/nowhere',
      temporary: true,
      config: ['requirepass secret'],
      processes: {},
    })
    expect(modeOf(state.folder)).toBe('700')
    expect(modeOf(join(state.folder, 'redis.json'))).toBe('600')
  })

  it('have locks whose names only their user can know, the same for all processes', () => {
    mkdirSync(join(folder, 'a'))
    mkdirSync(join(folder, 'b'))
    const name = lockAddress(join(folder, 'a'), 'install')
    expect(lockAddress(join(folder, 'a'), 'install')).toBe(name)
    expect(lockAddress(join(folder, 'a'), 'command')).not.toBe(name)
    expect(lockAddress(join(folder, 'b'), 'install')).not.toBe(name)
    expect(modeOf(join(folder, 'a/.lock-secret'))).toBe('600')
    rmSync(join(folder, 'a/.lock-secret'))
    expect(lockAddress(join(folder, 'a'), 'install'), 'follows from the secret').not.toBe(name)
    expect(existsSync(join(folder, 'a/.lock-secret'))).toBe(true)
  })
})
