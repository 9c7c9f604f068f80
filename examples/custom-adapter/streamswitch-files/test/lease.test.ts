import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Lease, readPosition } from '../src/lease.js'
import { scratchFolder } from './scratch-folder.js'

const LONG = 60_000

/** A lease's folder, as it is when the group was made. */
async function prepared(root: string): Promise<string> {
  const folder = join(root, '0')
  await mkdir(folder)
  await Lease.prepare(folder, 7)
  return folder
}

async function taken(folder: string, owner: string): Promise<Lease> {
  const lease = await Lease.take(folder, owner, LONG)
  if (lease === undefined) throw new Error(`${owner} did not get the lease`)
  return lease
}

/** As if `lease` had not been renewed for its whole time: its process was frozen. */
const expire = (folder: string, lease: Lease) => utimes(join(folder, String(lease.epoch)), new Date(), new Date(0))

describe('a lease', () => {
  it('has one owner, whatever number asks at once', async () => {
    await using root = await scratchFolder()
    const folder = await prepared(root.path)
    const leases = await Promise.all(Array.from({ length: 20 }, (_, index) => Lease.take(folder, `m${index}`, LONG)))
    expect(leases.filter((lease) => lease !== undefined)).toHaveLength(1)
    expect(await Lease.take(folder, 'late', LONG)).toBeUndefined()
  })

  it('hands its position to the next owner, under a higher epoch', async () => {
    await using root = await scratchFolder()
    const folder = await prepared(root.path)
    const first = await taken(folder, 'first')
    expect(first.position).toBe(7)
    expect(await first.store(30)).toBe(true)
    await first.release()
    const second = await taken(folder, 'second')
    expect(second.position).toBe(30)
    expect(second.epoch).toBeGreaterThan(first.epoch)
    expect(await readdir(folder)).toEqual([String(second.epoch)])
  })

  it('takes nothing more from an owner that was frozen while it went to another', async () => {
    await using root = await scratchFolder()
    const folder = await prepared(root.path)
    const frozen = await taken(folder, 'frozen')
    await expire(folder, frozen)
    const next = await taken(folder, 'next')
    expect(await next.store(50)).toBe(true)
    expect(await frozen.store(20)).toBe(false)
    expect(await frozen.renew()).toBe(false)
    await frozen.release()
    expect(frozen.running).toBe(false)
    expect(await readPosition(folder)).toBe(50)
    expect(await next.store(51)).toBe(true)
  })

  it('that has ended is its owner’s again when nobody took it', async () => {
    await using root = await scratchFolder()
    const folder = await prepared(root.path)
    const lease = await taken(folder, 'only')
    await expire(folder, lease)
    expect(await lease.renew()).toBe(true)
    expect(await Lease.take(folder, 'other', LONG)).toBeUndefined()
  })

  it('survives an owner that died between taking it and storing its position', async () => {
    await using root = await scratchFolder()
    const folder = await prepared(root.path)
    const first = await taken(folder, 'first')
    await first.store(40)
    // What such an owner leaves: a higher epoch that knows no position.
    const path = join(folder, String(first.epoch + 1))
    await writeFile(path, '{"owner":"dead"}\n')
    await utimes(path, new Date(), new Date(0))
    expect(await readPosition(folder)).toBe(40)
    expect((await taken(folder, 'next')).position).toBe(40)
  })
})
