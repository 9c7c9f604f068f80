import { describe, expect, it } from 'vitest'
import { hostsOption, isLoopback } from '../src/host-address.js'
import { Problems } from '../src/options/problems.js'

const field = hostsOption({ default: ['127.0.0.1'] })

describe('an option that holds hosts', () => {
  it.each([
    ['b1:9092,b2:9093', ['b1:9092', 'b2:9093']],
    [
      ['[::1]:5672', '::1', '10.0.0.1', 'a_b.example:1'],
      ['[::1]:5672', '::1', '10.0.0.1', 'a_b.example:1'],
    ],
  ])('takes %s', (raw, expected) => {
    expect(field.parse(raw, 'hosts', new Problems())).toEqual(expected)
  })

  it.each([
    'user:S3cr3t@b1:9092',
    'S3cr3t@b1',
    'amqp://user:S3cr3t@b1',
    'b1/S3cr3t',
    'b1?password=S3cr3t',
    'b1:S3cr3t',
    'b1 S3cr3t',
    '',
    [],
    [7],
  ])('refuses %j without showing it', (raw) => {
    const problems = new Problems()
    field.parse(raw, 'hosts', problems)
    const thrown = () => problems.throwIfAny('invalid options')
    expect(thrown).toThrow(/hosts: must be a list of hosts( \(entry \d+ is not one\))?, each as host or host:port/)
    expect(thrown).not.toThrow('S3cr3t')
  })

  it.each([
    ['127.0.0.1', true],
    ['127.8.0.1', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['localhost', true],
    ['127.evil.example', false],
    ['localhost.example', false],
    ['10.0.0.1', false],
    ['', false],
  ])('knows whether %s is this machine: %s', (host, expected) => {
    expect(isLoopback(host)).toBe(expected)
  })
})
