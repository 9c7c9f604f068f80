import { randomBytes } from 'node:crypto'
import { readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from './errors.js'
import { handoverFile, membersFolder } from './paths.js'

/**
 * This member's entry in its group: a file per member, whose modification time is when the member counts as gone. Each
 * member computes the same shares from the same list.
 */
export class Membership {
  readonly #group: string
  readonly #leaseMs: number
  /** Unique: a member that was killed and restarted under its name is a new one, until the first counts as gone. */
  readonly #name: string

  constructor(group: string, member: string, leaseMs: number) {
    this.#group = group
    this.#leaseMs = leaseMs
    this.#name = `${encodeURIComponent(member)}+${randomBytes(6).toString('base64url')}`
  }

  /** Announces that this member lives, for `leaseMs` from now on. */
  async beat(): Promise<void> {
    const path = join(membersFolder(this.#group), this.#name)
    const now = Date.now()
    try {
      await utimes(path, new Date(now), new Date(now + this.#leaseMs))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      await writeFile(path, '')
      await utimes(path, new Date(now), new Date(now + this.#leaseMs))
      await this.announce()
    }
  }

  /** Returns this member's partitions of `count`: every n-th, by its index in the list of members. */
  async share(count: number): Promise<ReadonlySet<number>> {
    const members = await this.#living()
    const place = members.indexOf(this.#name)
    const all = Array.from({ length: count }, (_, partition) => partition)
    return new Set(place === -1 ? [] : all.filter((partition) => partition % members.length === place))
  }

  /** Makes the others check the group now: this member has joined, leaves, or has released a partition. */
  async announce(): Promise<void> {
    await writeFile(handoverFile(this.#group), `${this.#name}\n`, { flag: 'r+' })
  }

  /** Ends the membership. */
  async leave(): Promise<void> {
    await rm(join(membersFolder(this.#group), this.#name), { force: true })
    await this.announce()
  }

  /** Names of all members that aren't gone; removes the files of those that are. */
  async #living(): Promise<string[]> {
    const folder = membersFolder(this.#group)
    const names = (await readdir(folder)).sort()
    const living = await Promise.all(
      names.map(async (name) => {
        const path = join(folder, name)
        const found = await stat(path).catch(() => undefined)
        if (found === undefined || found.mtimeMs > Date.now()) return found !== undefined
        // A file that was just created has its creation time, for a moment.
        if (found.mtimeMs < Date.now() - this.#leaseMs) await rm(path, { force: true })
        return false
      }),
    )
    return names.filter((_, index) => living[index])
  }
}
