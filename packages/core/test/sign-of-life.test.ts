import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { signOfLife } from '../src/sign-of-life.js'

const never = new Promise<never>(() => {})

test('the answer is one', async () => {
  const socket = new EventEmitter()
  await signOfLife(socket, Promise.resolve('PONG'))
  expect(socket.listenerCount('data')).toBe(0)
})

test('anything that arrives before the answer is one, and what the answer does later is ignored', async () => {
  const socket = new EventEmitter()
  let fail: (error: Error) => void = () => {}
  const late = new Promise((_, reject) => {
    fail = reject
  })
  const sign = signOfLife(socket, late)
  socket.emit('data', Buffer.alloc(1))
  await sign
  expect(socket.listenerCount('data')).toBe(0)
  fail(new Error('timed out'))
  await expect(late).rejects.toThrow('timed out')
})

test('a heartbeat is none', async () => {
  const socket = new EventEmitter()
  let signs = 0
  const sign = signOfLife(socket, never, 8).then(() => (signs += 1))
  socket.emit('data', Buffer.alloc(8))
  await new Promise((resolve) => setImmediate(resolve))
  expect(signs).toBe(0)
  socket.emit('data', Buffer.alloc(9))
  await sign
})

test('a failure is none', async () => {
  const socket = new EventEmitter()
  await expect(signOfLife(socket, Promise.reject(new Error('closed')))).rejects.toThrow('closed')
  expect(socket.listenerCount('data')).toBe(0)
})

test('silence is none', async () => {
  const socket = new EventEmitter()
  const settled = signOfLife(socket, never).then(() => 'alive')
  expect(await Promise.race([settled, new Promise((resolve) => setImmediate(() => resolve('silent')))])).toBe('silent')
})
