/** Members and owners of one topic, as of one heartbeat. */
export interface LeaseTable {
  readonly me: string
  /** Live members, including this one. */
  readonly members: readonly string[]
  /** Owner of each partition; empty when it is free. */
  readonly owners: readonly string[]
  /** Partitions of this member that are being released. */
  readonly releasing: ReadonlySet<number>
}

/** What this member should do. */
export interface BalancePlan {
  readonly take: readonly number[]
  readonly release: readonly number[]
  /** It has fewer partitions than its share: worth checking again soon. */
  readonly hungry: boolean
}

/**
 * Distributes partitions evenly: each member ends up with the floor or the ceiling of partitions per member. Members
 * decide independently, from the same table, and move as few partitions as possible.
 */
export function balance(table: LeaseTable): BalancePlan {
  const { me, members, owners, releasing } = table
  const share = Math.floor(owners.length / members.length)
  const most = Math.ceil(owners.length / members.length)
  const counts = new Map(members.map((member) => [member, 0]))
  // Partitions of a member that is no longer listed become free when its lease ends.
  let coming = 0
  const free: number[] = []
  const mine: number[] = []
  for (const [partition, owner] of owners.entries()) {
    if (owner === '') free.push(partition)
    else if (owner === me && releasing.has(partition)) coming += 1
    else if (owner === me) mine.push(partition)
    else if (counts.has(owner)) counts.set(owner, (counts.get(owner) as number) + 1)
    else coming += 1
  }
  const others = members.filter((member) => member !== me)
  const needed = sum(others, (member) => Math.max(0, share - (counts.get(member) as number)))
  const spare = sum(others, (member) => Math.max(0, (counts.get(member) as number) - most))
  if (mine.length > most) return { take: [], release: mine.slice(most - mine.length), hungry: false }
  if (mine.length > share) {
    const short = needed - free.length - coming - spare
    const givers = [...others.filter((member) => (counts.get(member) as number) === most), me].sort()
    const gives = givers.indexOf(me) < short
    return { take: [], release: gives ? mine.slice(-1) : [], hungry: false }
  }
  const own = Math.max(0, share - mine.length)
  const extra = mine.length + own < most && free.length - own > needed ? 1 : 0
  return { take: rotate(free, members.indexOf(me)).slice(0, own + extra), release: [], hungry: own > 0 }
}

/** Members that check at the same time begin at different ends. */
function rotate(list: readonly number[], by: number): number[] {
  const start = list.length === 0 ? 0 : Math.max(0, by) % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}

function sum(members: readonly string[], of: (member: string) => number): number {
  return members.reduce((total, member) => total + of(member), 0)
}
