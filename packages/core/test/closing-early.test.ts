import { describe, expect, it } from 'vitest'
import { StreamError } from '../src/errors.js'
import { Script, scriptedTransport, until } from './support/scripted-adapter.js'

function loopOn(script: Script) {
  const loop = scriptedTransport(script).consumer('orders', { group: 'billing' })
  loop.handle(() => {})
  return loop
}

describe('a loop that is closed while it connects', () => {
  it.each([
    ['waits for the broker', () => new Promise<void>(() => {})],
    ['has failed to, and is to try again', () => Promise.reject(new StreamError('no broker', { code: 'UNAVAILABLE' }))],
  ])('run() resolves where it %s', async (_name, onOpen) => {
    const script = new Script()
    let opening = 0
    script.onOpen = () => {
      opening += 1
      return onOpen()
    }
    const loop = loopOn(script)
    const ended = loop.run()
    await until(() => opening > 0)
    await loop.close()
    await expect(ended).resolves.toBeUndefined()
    await expect(loop.run()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  it('run() resolves where close() is called at once', async () => {
    const loop = loopOn(new Script())
    const ended = loop.run()
    await loop.close()
    await expect(ended).resolves.toBeUndefined()
  })

  it('run() still rejects with what kept it from connecting', async () => {
    const script = new Script()
    script.onOpen = () => Promise.reject(new StreamError('who are you?', { code: 'UNAUTHENTICATED' }))
    const loop = loopOn(script)
    await expect(loop.run()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    await loop.close()
  })
})

describe('lag()', () => {
  const lags = [{ topic: 'orders', partition: 0, lag: 3 }]

  it.each([
    ['the driver is cut off and tells nothing', async () => []],
    [
      "the client's own error says that it is closed",
      () => Promise.reject(new StreamError('gone', { code: 'CLOSED' })),
    ],
    ['the client breaks', () => Promise.reject(new TypeError('undefined is no function'))],
  ])('is UNAVAILABLE where %s', async (_name, lag) => {
    const script = new Script()
    script.lag = lag
    const loop = loopOn(script)
    await loop.init()
    await expect(loop.lag()).rejects.toMatchObject({ code: 'UNAVAILABLE', operation: 'lag' })
    await loop.close()
  })

  it('is UNAVAILABLE while the connection is away, and when it goes meanwhile', async () => {
    const script = new Script()
    let answer = (_lags: typeof lags): void => {}
    script.lag = () => new Promise((resolve) => (answer = resolve))
    const loop = loopOn(script)
    await loop.init()
    const asked = loop.lag()
    await until(() => answer.length > 0)
    script.onOpen = () => new Promise(() => {})
    script.consumer.sink.lost(new StreamError('cut', { code: 'UNAVAILABLE' }))
    answer(lags)
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', operation: 'lag' })
    await expect(loop.lag()).rejects.toMatchObject({ code: 'UNAVAILABLE', operation: 'lag' })
    await loop.close()
  })

  it('is what the driver says', async () => {
    const script = new Script()
    script.lag = async () => lags
    const loop = loopOn(script)
    await loop.init()
    expect(await loop.lag()).toEqual(lags)
    await loop.close()
  })
})
