import { link, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from './errors.js'
import { temporaryName } from './paths.js'

const RELEASED = new Date(0)

/**
 * A lease on one partition: a file whose name is its epoch, whose modification time is its expiry, and which holds an
 * offset of the log. The highest epoch is valid.
 *
 * - Taking it: `link` the next epoch, which only one process can. Then read the offset from the previous epoch; then
 *   delete that.
 * - Storing an offset: write the own epoch's file, then check whether a higher one exists. If not, the next owner has
 *   not read yet, and will read this offset. If there is one, the write has no effect.
 * So a holder that was frozen, and resumes when the lease belongs to another member, changes nothing for that one and
 * is notified.
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

  /** Creates the folder of a free lease. */
  static async prepare(folder: string, position: number): Promise<void> {
    await writeState(folder, 0, { owner: '', position }, RELEASED)
  }

  /**
   * Takes the lease if it is free or has expired; `undefined` when another member holds it. `held`: the caller's own
   * lease, which is replaced by one of a higher epoch.
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

  /** The offset stored last. */
  get position(): number {
    return this.#position
  }

  /** Whether it is still valid, by the clock. An expired lease may be renewed if no other member took it. */
  get running(): boolean {
    return Date.now() < this.#endsAt
  }

  /** Extends it to `leaseMs` from now. Returns false when another member holds it. */
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

  /** Stores an offset on disk, and renews. Returns false when another member holds it: nothing was stored. */
  store(position: number): Promise<boolean> {
    return this.#inTurn(async () => {
      const endsAt = Date.now() + this.#leaseMs
      await writeState(this.#folder, this.epoch, { owner: this.#owner, position }, new Date(endsAt))
      if (!(await this.#isHighest(endsAt))) return false
      this.#position = position
      return true
    })
  }

  /** Lets other members take it immediately, from this offset on. */
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

  /** One change at a time: a renewal must not undo a concurrent release. */
  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change)
    this.#last = result.catch(() => undefined)
    return result
  }
}

/** Returns the offset of the current or last holder of the lease. `below`: of epochs before this one. */
export async function readPosition(folder: string, below = Number.POSITIVE_INFINITY): Promise<number> {
  for (;;) {
    let vanished = false
    for (const epoch of await epochs(folder)) {
      if (epoch >= below) continue
      const state = await readState(join(folder, nameOf(epoch)))
      if (state?.position !== undefined) return state.position
      if (state === undefined) vanished = true
    }
    // A newer owner deletes older epochs once it has stored its own: read again.
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

/** Readers see the old file or the new one, complete, also after a power failure. */
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

/** Returns true when this call created the epoch, and none is higher. */
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
