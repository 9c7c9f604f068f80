import { describe, expect, test } from 'vitest'
import { balance } from '../src/balance.js'

const NONE: ReadonlySet<number> = new Set()

/** Lets every member act on the same table, in turn, until nothing moves; returns the owners and how many moves it took. */
function settle(owners: string[], members: readonly string[]): { owners: string[]; moves: number } {
  let moves = 0
  for (let round = 0; round < 50; round += 1) {
    const before = [...owners]
    const plans = members.map((me) => [me, balance({ me, members, owners: before, releasing: NONE })] as const)
    for (const [me, plan] of plans) {
      for (const partition of plan.release) if (owners[partition] === me) owners[partition] = ''
      for (const partition of plan.take) {
        if (owners[partition] !== '') continue
        owners[partition] = me
        moves += 1
      }
    }
    if (owners.every((owner, partition) => owner === before[partition])) return { owners, moves }
  }
  throw new Error(`never settles: ${owners.join(' ')}`)
}

function counts(owners: readonly string[], members: readonly string[]): number[] {
  return members.map((member) => owners.filter((owner) => owner === member).length)
}

describe('sharing partitions out', () => {
  test('settles with each member between floor and ceiling, for every number of members and partitions', () => {
    for (let partitions = 1; partitions <= 13; partitions += 1) {
      for (let size = 1; size <= 6; size += 1) {
        const members = Array.from({ length: size }, (_, index) => `m${index}`)
        const { owners } = settle(new Array<string>(partitions).fill(''), members)
        const held = counts(owners, members)
        expect(Math.max(...held) - Math.min(...held), `${partitions} over ${size}`).toBeLessThanOrEqual(1)
        expect(held.reduce((sum, count) => sum + count)).toBe(partitions)
      }
    }
  })

  test('a member that joins moves no more than its share', () => {
    const { owners } = settle(new Array<string>(8).fill(''), ['a', 'b'])
    const after = settle([...owners], ['a', 'b', 'c'])
    expect(counts(after.owners, ['a', 'b', 'c']).sort()).toEqual([2, 3, 3])
    expect(after.moves).toBeLessThanOrEqual(3)
  })

  test('what a dead member held goes to the others, and nothing else moves', () => {
    const { owners } = settle(new Array<string>(8).fill(''), ['a', 'b', 'c', 'd'])
    const left = owners.map((owner) => (owner === 'd' ? '' : owner))
    const after = settle([...left], ['a', 'b', 'c'])
    expect(after.moves).toBe(2)
    expect(after.owners.filter((owner, partition) => left[partition] !== '' && owner !== left[partition])).toEqual([])
  })

  test('what a silent member still holds is neither taken nor made up for by others', () => {
    const plan = balance({ me: 'a', members: ['a', 'b'], owners: ['a', 'a', 'gone', 'gone'], releasing: NONE })
    expect(plan).toEqual({ take: [], release: [], hungry: false })
  })

  test('a member below its share is hungry; one that gives back counts as having given', () => {
    expect(balance({ me: 'b', members: ['a', 'b'], owners: ['a', 'a'], releasing: NONE })).toEqual({
      take: [],
      release: [],
      hungry: true,
    })
    expect(balance({ me: 'a', members: ['a', 'b'], owners: ['a', 'a'], releasing: new Set([1]) }).release).toEqual([])
  })
})
