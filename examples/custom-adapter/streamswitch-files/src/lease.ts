import { link, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from './errors.js'
import { temporaryName } from './paths.js'

const RELEASED = new Date(0)

/**
 * The right to one partition, for some time: a file whose name is its epoch, whose time of change is when it ends, and which holds a
 * position of the log. The highest epoch is the one that counts.
 *
 * - Taking it: `link` the next epoch, which only one can. Then read the position from the epoch before; then delete that.
 * - Storing a position: write the own epoch's file, then look whether a higher one exists. If none does, whoever comes
 *   next has not read yet, and will read this position. If one does, nothing that was written counts.
 *
 * So a holder that was frozen, and wakes up when the lease is another's, changes nothing for that one and is told.
 */
export class Lease {
  readonly epoch: number
  readonly #folder: string
  readonly #owner: string
  readonly #leaseMs: number
  #position: number
  #endsAt = 0
  #last: Promise<unknown> = Promise.resolve()

  private constructor(folder: string, epoch: number, owner: string, leaseMs: number, position: number) {
    this.#folder = folder
    this.epoch = epoch
    this.#owner = owner
    this.#leaseMs = leaseMs
    this.#position = position
  }

  /** Makes the folder of a lease that nobody holds. */
  static async prepare(folder: string, position: number): Promise<void> {
    await writeState(folder, 0, { owner: '', position }, RELEASED)
  }

  /**
   * Takes the lease if it is free or has ended; `undefined` where it is another's. `held`: the lease in the caller's own hands, which is
   * replaced by one of a higher epoch.
   */
  static async take(folder: string, owner: string, leaseMs: number, held?: Lease): Promise<Lease | undefined> {
    const [highest = 0] = await epochs(folder)
    if (held?.epoch !== highest && !(await hasEnded(join(folder, nameOf(highest))))) return undefined
    const epoch = highest + 1
    if (!(await claim(folder, epoch, owner, leaseMs))) return undefined
    const lease = new Lease(folder, epoch, owner, leaseMs, await readPosition(folder, epoch))
    if (!(await lease.store(lease.position))) return undefined
    for (const older of await epochs(folder)) if (older < epoch) await rm(join(folder, nameOf(older)), { force: true })
    return lease
  }

  /** The position that was stored last. */
  get position(): number {
    return this.#position
  }

  /** Whether it still runs, by the clock. One that has ended may be renewed, if nobody took it. */
  get running(): boolean {
    return Date.now() < this.#endsAt
  }

  /** Has it end `leaseMs` from now. False: it is another's. */
  renew(): Promise<boolean> {
    return this.#inTurn(async () => {
      const endsAt = Date.now() + this.#leaseMs
      try {
        await utimes(join(this.#folder, nameOf(this.epoch)), new Date(), new Date(endsAt))
      } catch (error) {
        if (hasCode(error, 'ENOENT')) return false
        throw error
      }
      return this.#isHighest(endsAt)
    })
  }

  /** Stores a position on the disk, and renews. False: it is another's, and nothing was stored. */
  store(position: number): Promise<boolean> {
    return this.#inTurn(async () => {
      const endsAt = Date.now() + this.#leaseMs
      await writeState(this.#folder, this.epoch, { owner: this.#owner, position }, new Date(endsAt))
      if (!(await this.#isHighest(endsAt))) return false
      this.#position = position
      return true
    })
  }

  /** Lets others take it at once, from this position on. */
  release(position = this.#position): Promise<void> {
    return this.#inTurn(async () => {
      this.#endsAt = 0
      const [highest] = await epochs(this.#folder)
      if (highest === this.epoch) {
        await writeState(this.#folder, this.epoch, { owner: this.#owner, position }, RELEASED)
      }
    })
  }

  async #isHighest(endsAt: number): Promise<boolean> {
    const [highest] = await epochs(this.#folder)
    this.#endsAt = highest === this.epoch ? endsAt : 0
    return highest === this.epoch
  }

  /** One change at a time: a renewal must not undo the release that it overlaps. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change)
    this.#last = result.catch(() => undefined)
    return result
  }
}

/** The position of whoever holds the lease, or held it last. `below`: of epochs before this one. */
export async function readPosition(folder: string, below = Number.POSITIVE_INFINITY): Promise<number> {
  for (;;) {
    let vanished = false
    for (const epoch of await epochs(folder)) {
      if (epoch >= below) continue
      const state = await readState(join(folder, nameOf(epoch)))
      if (state?.position !== undefined) return state.position
      if (state === undefined) vanished = true
    }
    // A newer owner deletes older epochs once it has stored its own: look again.
    if (!vanished) return 0
  }
}

interface State {
  readonly owner: string
  readonly position?: number
}

async function readState(path: string): Promise<State | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Readers see the old file or the new one, whole; after a power failure as well. */
async function writeState(folder: string, epoch: number, state: State, endsAt: Date): Promise<void> {
  const temporary = temporaryName(folder)
  const file = await open(temporary, 'wx')
  try {
    await file.writeFile(`${JSON.stringify(state)}\n`)
    await file.utimes(new Date(), endsAt)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, join(folder, nameOf(epoch)))
}

/** True where this call made the epoch, and none is higher. */
async function claim(folder: string, epoch: number, owner: string, leaseMs: number): Promise<boolean> {
  const temporary = temporaryName(folder)
  try {
    await writeFile(temporary, `${JSON.stringify({ owner })}\n`, { flag: 'wx' })
    await utimes(temporary, new Date(), new Date(Date.now() + leaseMs))
    await link(temporary, join(folder, nameOf(epoch)))
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(temporary, { force: true })
  }
  const [highest] = await epochs(folder)
  if (highest === epoch) return true
  await rm(join(folder, nameOf(epoch)), { force: true })
  return false
}

async function hasEnded(path: string): Promise<boolean> {
  try {
    return (await stat(path)).mtimeMs <= Date.now()
  } catch (error) {
    // Deleted by a newer owner.
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

/** Highest first. */
async function epochs(folder: string): Promise<number[]> {
  const names = (await readdir(folder)).filter((name) => /^\d+$/.test(name))
  return names.map(Number).sort((left, right) => right - left)
}

function nameOf(epoch: number): string {
  return String(epoch)
}
