import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  atMost,
  environmentText,
  hostTexts,
  OFFICIAL_ADAPTERS,
  officialIdentity,
  option,
  parseHostText,
  partitionConflict,
  readSecret,
  secretOption,
  systemErrorMeaning,
  topicMissing,
} from '../src/driver.js'
import { resolveOptions } from '../src/options/resolve.js'
import { parseTransportUrl } from '../src/transport/url.js'

describe('atMost', () => {
  it('gives the value, and undefined for a failure or when the time is over', async () => {
    expect(await atMost(Promise.resolve(1), 60_000)).toBe(1)
    expect(await atMost(Promise.reject(new Error('broken')), 60_000)).toBeUndefined()
    expect(await atMost(new Promise(() => {}), 1)).toBeUndefined()
  })

  it('waits for longer than a timer can run', async () => {
    const late = new Promise((resolve) => setImmediate(() => setImmediate(() => resolve('late'))))
    expect(await atMost(late, Number.MAX_SAFE_INTEGER)).toBe('late')
  })
})

describe('hosts', () => {
  it('stand as host or host:port, with IPv6 addresses in brackets, and are taken apart again', () => {
    const texts = hostTexts(parseTransportUrl('amqp://a,b:1,[::1]:2/'))
    expect(texts).toEqual(['a', 'b:1', '[::1]:2'])
    expect(texts?.map((text) => parseHostText(text, 9))).toEqual([
      { host: 'a', port: 9 },
      { host: 'b', port: 1 },
      { host: '::1', port: 2 },
    ])
    expect(hostTexts(parseTransportUrl('amqp://'))).toBeUndefined()
  })

  it('come from a variable without the spaces around it, if it has more than those', () => {
    expect(['NAME', 'EMPTY', 'ABSENT'].map((name) => environmentText({ NAME: ' a ', EMPTY: ' ' }, name))).toEqual([
      'a',
      undefined,
      undefined,
    ])
  })
})

describe('systemErrorMeaning', () => {
  it.each([
    ['ECONNREFUSED', 'UNAVAILABLE'],
    ['ENOTFOUND', 'UNAVAILABLE'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'INVALID_ARGUMENT'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNAUTHENTICATED'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'UNAUTHENTICATED'],
    ['ENOENT', undefined],
    ['constructor', undefined],
  ])('%s is %s', (code, expected) => {
    expect(systemErrorMeaning(code)?.code).toBe(expected)
  })
})

describe('errors of topics', () => {
  it('name the topic and what to do', () => {
    expect(topicMissing('redis', 't')).toMatchObject({ code: 'NOT_FOUND', retryable: false, topic: 't' })
    const spec = { topic: 't', brokerTopic: 't', native: false, partitions: 2 }
    expect(partitionConflict('redis', spec, 1)).toMatchObject({
      code: 'CONFLICT',
      retryable: false,
      transport: 'redis',
      message: expect.stringContaining('1 partition, not 2'),
    })
    const native = { ...spec, brokerTopic: 'Bills', native: true }
    expect(partitionConflict('redis', native, 1)).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringMatching(/'t' \('Bills' on the broker\) has 1 partition, not 2: .* set 1$/),
    })
  })
})

describe('officialIdentity', () => {
  it('is what core knows of the adapter', () => {
    for (const { name, schemes, capabilities } of OFFICIAL_ADAPTERS)
      expect(officialIdentity(name)).toEqual({ name, schemes, capabilities })
  })
})

describe('readSecret', () => {
  it('rejects what is empty, blank or no text, and names the file or the option', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'streamswitch-secret-'))
    const file = join(folder, 'password')
    for (const text of ['', '\n', '\r\n', '  ', ' \t\n']) {
      await writeFile(file, text)
      await expect(readSecret({ file }, 'redis')).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        message: expect.stringContaining(`password: the file ${file} is empty`),
      })
    }
    await rm(folder, { recursive: true })
    for (const value of ['', ' \n', undefined, null, 0, {}]) {
      const secret = () => value as string
      await expect(readSecret(secret, 'redis', 'token')).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        message: expect.stringContaining('the function of token'),
      })
    }
    expect(await readSecret(() => ' inner and outer blanks stay ', 'redis')).toBe(' inner and outer blanks stay ')
  })

  it('is not reached by an empty option or variable: those are refused with their names', () => {
    const fields = {
      password: secretOption({ environment: 'X_PASSWORD' }),
      name: option.text({ environment: 'X_NAME' }),
    }
    const read = (values: object, environment: Record<string, string>) =>
      resolveOptions(fields, [{ from: 'code', values }], environment, { subject: 'the x transport' })
    for (const blank of ['', '  ', '\n']) {
      expect(() => read({ password: blank }, {})).toThrow(/password: must not be empty or blank/)
      expect(() => read({}, { X_PASSWORD: blank })).toThrow(/X_PASSWORD: must not be empty or blank/)
    }
    expect(() => read({ password: { file: '' } }, {})).toThrow('password')
    // Any other variable that is empty is one that isn't set.
    expect(read({}, { X_NAME: '' })).toEqual({ password: undefined, name: undefined })
    expect(read({ password: 'p' }, { X_PASSWORD: '' }).password).toBe('p')
  })

  it('reads a file anew each time, without its last line break, and asks a function each time', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'streamswitch-secret-'))
    const file = join(folder, 'password')
    let asked = 0
    const secrets: unknown[] = []
    for (const text of ['one\n', 'two\r\n']) {
      await writeFile(file, text)
      asked += 1
      secrets.push(await readSecret({ file }, 'redis'), await readSecret(() => `asked ${asked}`, 'redis'))
    }
    expect(secrets).toEqual(['one', 'asked 1', 'two', 'asked 2'])
    await rm(folder, { recursive: true })
    await expect(readSecret({ file }, 'redis')).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      message: expect.stringContaining(file),
    })
  })
})
