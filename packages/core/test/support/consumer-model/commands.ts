import fc from 'fast-check'
import { StreamError } from '../../../src/errors.js'
import { blockEventLoop } from './clock.js'
import type { Mode, Run, Track, World } from './world.js'

type Action = (world: World) => void | Promise<void>

/** One step of a history. Its name, with its values, is what a counterexample shows. */
class Step implements fc.AsyncCommand<object, World> {
  readonly #name: string
  readonly #action: Action

  constructor(name: string, action: Action) {
    this.#name = name
    this.#action = action
  }

  check(): boolean {
    return true
  }

  async run(_model: object, world: World): Promise<void> {
    await this.#action(world)
    await world.settle()
    world.check()
    if (world.violations.length > 0) throw new Error(world.violations.join('\n'))
  }

  toString(): string {
    return this.#name
  }
}

function step(name: string, action: Action): fc.Arbitrary<Step> {
  return fc.constant(new Step(name, action))
}

/** One of what there is. */
function pick<T>(list: readonly T[], choice: number): T | undefined {
  return list[choice % Math.max(1, list.length)]
}

const choice = fc.nat({ max: 7 })
const partition = fc.nat({ max: 1 })

/** What a handler's end may look like. */
const FAILURES: readonly (readonly [string, () => unknown])[] = [
  ['an error', () => new Error('no')],
  ['a final error', () => new StreamError('never', { code: 'INVALID_ARGUMENT' })],
  ['nothing', () => undefined],
  ['an object without prototype', () => Object.assign(Object.create(null), { reason: 1 })],
]

function onRun(name: string, act: (world: World, run: Run) => void): fc.Arbitrary<Step> {
  return choice.map(
    (index) =>
      new Step(`${name}(${index})`, (world) => {
        const run = pick(world.runs, index)
        if (run !== undefined) act(world, run)
      }),
  )
}

function onTrack(name: string, act: (world: World, track: Track) => void): fc.Arbitrary<Step> {
  return choice.map(
    (index) =>
      new Step(`${name}(${index})`, (world) => {
        // Somebody may call it at any time, once the handler has been started.
        const track = pick(
          [...world.tracks.values()].filter(({ starts }) => starts > 0),
          index,
        )
        if (track !== undefined) act(world, track)
      }),
  )
}

function modes(kind: 'acks' | 'deadLetters' | 'notes' | 'opens', values: readonly Mode[]): fc.Arbitrary<Step> {
  return fc.constantFrom(...values).map(
    (mode) =>
      new Step(`${kind}: ${mode}`, (world) => {
        world[kind] = mode
        if (mode === 'ok' && kind !== 'opens') world.release(kind)
      }),
  )
}

const send = fc
  .tuple(partition, fc.constantFrom('a', 'a', 'b', undefined), fc.nat({ max: 19 }))
  .map(
    ([where, key, kind]) =>
      new Step(`send(${where}, ${key}${kind === 0 ? ', for others' : ''})`, ({ broker }) =>
        broker.send(where, key, kind === 0),
      ),
  )

const onPartition = (name: string, act: (world: World, partition: number) => void): fc.Arbitrary<Step> =>
  partition.map((where) => new Step(`${name}(${where})`, (world) => act(world, where)))

/** All steps, the frequent ones first. */
export const STEPS: fc.Arbitrary<Step>[] = [
  send,
  send,
  send,
  onRun('succeed', (_world, run) => run.end()),
  onRun('succeed', (_world, run) => run.end()),
  fc
    .tuple(choice, fc.constantFrom(...FAILURES))
    .map(
      ([index, [name, thrown]]) =>
        new Step(`fail(${index}, ${name})`, ({ runs }) => pick(runs, index)?.end({ thrown: thrown() })),
    ),
  fc.constantFrom(1, 20, 120, 600, 1_700).map((ms) => new Step(`advance(${ms})`, (world) => world.advance(ms))),
  onTrack('ack', (world, track) => world.ack(track)),
  onTrack('nack', (world, track) => world.nack(track)),
  modes('acks', ['ok', 'ok', 'held', 'failing', 'unanswered', 'refused']),
  modes('deadLetters', ['ok', 'held', 'failing']),
  modes('notes', ['ok', 'held', 'failing', 'unanswered']),
  modes('opens', ['ok', 'failing']),
  fc
    .tuple(partition, choice)
    .map(([where, index]) => new Step(`sendAgain(${where}, ${index})`, ({ broker }) => broker.sendAgain(where, index))),
  fc
    .tuple(partition, fc.constantFrom(0, 50, 10_000))
    .map(
      ([where, deadlineMs]) =>
        new Step(`revoke(${where}, ${deadlineMs})`, ({ broker }) => void broker.revoke(where, deadlineMs)),
    ),
  onPartition('lose', ({ broker }, where) => broker.lose(where)),
  onPartition('assign', ({ broker }, where) => broker.assign(where)),
  step('pause', (world) => {
    world.paused = true
    world.loop.pause()
  }),
  step('resume', (world) => {
    world.paused = false
    world.loop.resume()
  }),
  fc.tuple(partition, fc.nat({ max: 3 })).map(
    ([where, offset]) =>
      new Step(`seek(${where}, ${offset})`, ({ loop }) => {
        loop.seek({ offset: String(offset) }, { partition: where }).catch(() => {})
      }),
  ),
  step('crash', (world) => world.crash()),
  step('crash', (world) => world.crash()),
  fc.tuple(partition, fc.constantFrom(1_500, 20_000)).map(
    ([where, ms]) =>
      new Step(`block for ${ms} and lose(${where})`, ({ broker }) => {
        blockEventLoop(ms)
        broker.lose(where)
      }),
  ),
  step('lose the connection', ({ broker }) => broker.cut()),
  fc.constantFrom(0, 200).map((timeoutMs) => new Step(`close(${timeoutMs})`, (world) => world.close(timeoutMs))),
]
