import { setImmediate as nextTurn } from 'node:timers'
import { Randomness } from '../faults/soak/randomness.js'
import { World } from './world.js'

/** Length of one step of virtual time while somebody waits, in milliseconds. */
const STEP_MS = 5

/** Runs steps in a world without faults, in virtual time that goes on while they wait. For tests of a scripted broker. */
export async function play<Result>(seed: number, steps: (world: World) => Promise<Result>): Promise<Result> {
  const world = new World(new Randomness(seed))
  world.faulty = false
  const restore = world.clock.install()
  let done = false
  const playing = steps(world).finally(() => {
    done = true
  })
  playing.catch(() => {})
  try {
    while (!done) {
      await world.clock.run(world.now + STEP_MS, () => done)
      await new Promise<void>((resolve) => nextTurn(resolve))
    }
    return await playing
  } finally {
    restore()
  }
}
