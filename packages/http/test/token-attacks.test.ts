import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StreamError } from '@streamswitch/core'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ListenToken, TOKEN_GRACE_MS } from '../src/server/listen-token.js'
import { Bed, consume } from './support/bed.js'
import { post } from './support/frames.js'
import { ServerProcess } from './support/server-process.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const LOOPS = [{ topic: 'orders', group: 'billing' }]

let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'streamswitch-token-'))
  file = join(folder, 'token')
})

afterEach(() => rm(folder, { recursive: true, force: true }))

const status = async (url: string, authorization?: string) =>
  (await post(url, '1', { ...JSON_TYPE, ...(authorization === undefined ? {} : { authorization }) })).status

/** What a client without the token may try. */
const TRIES = [
  undefined,
  '',
  ' ',
  'Bearer',
  'Bearer ',
  'bearer  ',
  'Bearer undefined',
  'Basic Og==',
  'Bearer ,',
  'Bearer  \t',
]

async function expectClosed(server: ServerProcess, ...more: readonly string[]): Promise<void> {
  const before = await server.stats()
  for (const authorization of [...TRIES, ...more]) expect(await status(server.url, authorization)).toBe(401)
  expect((await server.stats()).handled).toBe(before.handled)
  expect(server.alive).toBe(true)
}

describe('a listen token that is empty at the start', () => {
  const start = (options: object, environment: Record<string, string> = {}) =>
    ServerProcess.start({ options: { ...options }, environment, loops: LOOPS })

  it('is an error that names the option or the variable', async () => {
    const invalid = (name: string) => ({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(name) })
    await expect(start({ listenToken: '' })).rejects.toMatchObject(invalid('listenToken'))
    await expect(start({ listenToken: ' \t' })).rejects.toMatchObject(invalid('listenToken'))
    await expect(start({}, { HTTP_LISTEN_TOKEN: '' })).rejects.toMatchObject(invalid('HTTP_LISTEN_TOKEN'))
    await expect(start({}, { HTTP_LISTEN_TOKEN: ' ' })).rejects.toMatchObject(invalid('HTTP_LISTEN_TOKEN'))
  })

  it('is an error that names the file', async () => {
    for (const content of ['', '\n', '  \r\n', undefined]) {
      if (content === undefined) await rm(file)
      else await writeFile(file, content)
      await expect(start({ listenToken: { file } })).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        message: expect.stringContaining(file),
      })
    }
  })

  it('is one also where a function returns it, or nothing, or no text', async () => {
    await using bed = new Bed()
    for (const value of ['', ' ', undefined, null, 7, {}]) {
      const transport = await bed.open({ listenToken: () => value })
      await expect(transport.consumer('orders', { group: 'g' }).init()).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        message: expect.stringContaining('listenToken'),
      })
    }
  })
})

describe('a listen token that is lost while the server runs', () => {
  const losses: readonly (readonly [what: string, lose: () => Promise<unknown>])[] = [
    ['its file is empty', () => writeFile(file, '')],
    ['its file is blank', () => writeFile(file, ' \n')],
    ['its file is gone', () => rm(file)],
    [
      'its file is a folder',
      async () => {
        await rm(file)
        await mkdir(file)
      },
    ],
  ]
  for (const [what, lose] of losses) {
    it(`lets nobody in without it, keeps the last good one, says so once, and takes the next: ${what}`, async () => {
      await writeFile(file, 'first\n')
      await using server = await ServerProcess.start({ options: { listenToken: { file } }, loops: LOOPS })
      await expectClosed(server)
      expect(await status(server.url, 'Bearer first')).toBe(204)
      await lose()
      await expectClosed(server, 'Bearer second')
      expect(await status(server.url, 'Bearer first')).toBe(204)
      const { errors } = await server.stats()
      expect(errors).toBe(1)
      await rm(file, { recursive: true, force: true })
      await writeFile(file, 'second')
      expect(await status(server.url, 'Bearer second')).toBe(204)
      await expectClosed(server, 'Bearer first')
      expect((await server.stats()).errors).toBe(1)
    })
  }
})

describe('a listen token that is rotated', () => {
  it('is read again: the new one is accepted at once, the old one no more, for every loop and transport that shares the server', async () => {
    await writeFile(file, 'first')
    await using bed = new Bed()
    let token = 'first'
    const one = await bed.open({ listenToken: { file }, token: () => token })
    await consume(one, 'orders', 'billing', () => {})
    await one.producer('orders').send(1)
    token = 'second'
    await writeFile(file, 'second')
    // Another loop opens with what stands in the file now.
    await consume(one, 'invoices', 'billing', () => {})
    const two = await bed.open({ listenToken: 'second', token: 'second' }, one.base)
    await consume(two, 'parcels', 'billing', () => {})
    await one.producer('orders').send(2)
    await two.producer('parcels').send(3)
    expect(await status(one.base, 'Bearer first')).toBe(401)
    const other = await bed.open({ listenToken: 'first' }, one.base)
    await expect(other.consumer('x', { group: 'y' }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  it('is not read once per wrong token: a flood of them costs little, and others are served', async () => {
    await writeFile(file, 'right')
    await using server = await ServerProcess.start({ options: { listenToken: { file } }, loops: LOOPS })
    await using bed = new Bed()
    const sending = await bed.open({ token: 'right' }, server.url)
    const producer = sending.producer('orders')
    await producer.send('before')
    const before = await server.stats()
    const wrong = Promise.all(Array.from({ length: 1_000 }, (_, index) => status(server.url, `Bearer wrong-${index}`)))
    for (let count = 0; count < 20; count += 1) await producer.send(count)
    expect(new Set(await wrong)).toEqual(new Set([401]))
    const after = await server.stats()
    expect(after.handled - before.handled).toBe(20)
    expect(after.cpuMs - before.cpuMs).toBeLessThan(10_000)
    expect(after.longestTurnMs).toBeLessThan(2_000)
  })
})

describe('the listen token', () => {
  afterEach(() => void vi.useRealTimers())

  it('is accepted for a time after it can not be read any more, then none is; a hanging function does not hold requests up', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
    const reports: StreamError[] = []
    let answer: () => string | Promise<string> = () => 'good'
    let reads = 0
    const token = await ListenToken.read(
      () => {
        reads += 1
        return answer()
      },
      (error) => void reports.push(error),
    )
    const judge = async (shown: string | undefined) => {
      const verdict = token.judge(shown)
      if (typeof verdict !== 'string') await vi.advanceTimersByTimeAsync(10_000)
      return verdict
    }
    answer = () => new Promise<string>(() => {})
    expect(await judge('Bearer other')).toBe('refused')
    expect(await judge('Bearer good')).toBe('accepted')
    answer = () => ''
    await vi.advanceTimersByTimeAsync(TOKEN_GRACE_MS - 60_000)
    expect(await judge('Bearer good')).toBe('accepted')
    expect(await judge(undefined)).toBe('refused')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(await judge('Bearer good')).toBe('unreadable')
    expect(await judge(undefined)).toBe('unreadable')
    expect(reports).toHaveLength(1)
    answer = () => 'new'
    await vi.advanceTimersByTimeAsync(5_000)
    expect(await judge('Bearer new')).toBe('accepted')
    expect(await judge('Bearer good')).toBe('refused')
    const before = reads
    await Promise.all(Array.from({ length: 100 }, () => judge('Bearer wrong')))
    expect(reads - before).toBeLessThan(5)
  })
})

describe('a server that anybody can reach', () => {
  it('is warned about, unless it asks for a token or a certificate, or listens on a loopback address', async () => {
    const warnings = async (options: object) => {
      await using server = await ServerProcess.start({
        options: { ...options },
        loops: [...LOOPS, { topic: 'x', group: 'y' }],
      })
      return server.log.filter((line) => line.includes('any client that can connect'))
    }
    const [open, ...more] = await warnings({ listen: '0.0.0.0:0' })
    expect([open, more]).toEqual([expect.stringContaining('HTTP_LISTEN_TOKEN'), []])
    expect(await warnings({ listen: '[::]:0' })).toHaveLength(1)
    expect(await warnings({ listen: '0.0.0.0:0', listenToken: 'secret' })).toEqual([])
    expect(await warnings({ listen: '127.0.0.1:0' })).toEqual([])
    expect(await warnings({ listen: 'localhost:0' })).toEqual([])
  })
})
