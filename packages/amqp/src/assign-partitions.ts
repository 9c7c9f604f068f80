import { murmur3 } from './hash.js'

/**
 * Returns which member should have each partition: every member computes it from the same list, with the same result.
 * Each gets as many as the others, give or take one; within that, a partition prefers the members in its own order
 * (rendezvous hashing), so that few partitions move when a member joins or leaves.
 */
export function assignPartitions(members: readonly string[], partitions: number): string[] {
  const least = Math.floor(partitions / members.length)
  let extras = partitions % members.length
  const counts = new Map(members.map((member) => [member, 0]))
  return Array.from({ length: partitions }, (_, partition) => {
    const ranked = members
      .map((member) => ({ member, preference: preferenceOf(member, partition) }))
      .sort((left, right) => right.preference - left.preference || (left.member < right.member ? -1 : 1))
      .map(({ member }) => member)
    const chosen = ranked.find(
      (member) => (counts.get(member) ?? 0) < least || ((counts.get(member) ?? 0) === least && extras > 0),
    ) as string
    const count = counts.get(chosen) ?? 0
    if (count === least) extras -= 1
    counts.set(chosen, count + 1)
    return chosen
  })
}

function preferenceOf(member: string, partition: number): number {
  return murmur3(`${member}|${partition}`, 0)
}
